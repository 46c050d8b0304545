"""Which trees are kept on this machine? The cache: where it lies, what it holds, how a tree in it is proved."""
