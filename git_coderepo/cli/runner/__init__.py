"""Verbs that get code back."""
