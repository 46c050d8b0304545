"""What it costs, beside the tools it stands next to, in one run: `make bench` writes `results.md`."""
