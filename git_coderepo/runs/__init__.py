"""Which runs were there? The record of runs, their results, what is published."""
