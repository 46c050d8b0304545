"""Which trees are kept on this machine? The location of the cache, its trees, and how a cached tree is verified."""
