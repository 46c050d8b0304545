"""How is the disk touched safely? Locks, private directories, temporary files, paths."""
