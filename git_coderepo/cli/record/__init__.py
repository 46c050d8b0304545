"""Commands that record the code of a run."""
