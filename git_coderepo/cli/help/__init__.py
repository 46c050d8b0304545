"""Verbs that explain, and what help, manual page and completion are made from."""
