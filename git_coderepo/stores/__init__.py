"""Where are snapshots kept for others? The shared store and published references."""
