"""Commands for recorded runs: list, show, compare, publish and remove them."""
