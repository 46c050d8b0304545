"""Know exactly which code made a run, and get exactly that code back on any machine."""

from __future__ import annotations

__version__ = "0.1.0"
