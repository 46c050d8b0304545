"""How does a runner get the code back? From a run manifest to a directory with the recorded tree id."""
