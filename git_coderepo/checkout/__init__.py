"""What is here: the state of a checkout, its base, the snapshot's tree and the overlay."""
