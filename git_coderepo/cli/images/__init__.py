"""Verbs for dependency images."""
