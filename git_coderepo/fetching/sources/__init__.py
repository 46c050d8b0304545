"""Where can a tree come from? Local objects, shared store, archive, git, custom classes, published runs."""
