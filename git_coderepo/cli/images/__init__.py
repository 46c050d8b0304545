"""Commands for dependency images."""
