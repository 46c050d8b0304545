"""What did the user say? Code repositories in git's configuration, their inference, and where credentials come from."""
