"""What does a dependency image depend on? The key, and the files that it is made from."""
