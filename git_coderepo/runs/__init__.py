"""Which runs were there? The record of runs, their results, and their publication."""
