"""Commands that fetch and verify recorded code."""
