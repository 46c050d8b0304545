"""The runner: what a manifest names is brought back, proved by its tree id, and appears at once or not at all."""
