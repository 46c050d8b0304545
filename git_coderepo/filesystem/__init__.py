"""How are files written safely? Locks, private directories, temporary files, paths."""
