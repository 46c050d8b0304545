"""How do bytes travel? HTTP and git, with a credential."""
