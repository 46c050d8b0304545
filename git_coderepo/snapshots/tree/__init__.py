"""Which tree is the snapshot? Changed files, the private index, the tree object."""
