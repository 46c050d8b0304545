"""What does git say? The only door to git, and Git's own formats."""
