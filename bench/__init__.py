"""Benchmarks against git, curl and other tools; `make bench` writes `results.md`."""
