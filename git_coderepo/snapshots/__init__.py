"""What code does a run use? From the checkout to the run manifest."""
