"""What does a dependency image depend on? The build key, and the files from which it is computed."""
