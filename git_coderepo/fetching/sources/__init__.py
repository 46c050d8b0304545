"""Where can a tree come from? Archive, git, local objects, shared store, published runs."""
