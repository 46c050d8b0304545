"""Verbs that record a run."""
