"""Verbs that say where the code is."""
