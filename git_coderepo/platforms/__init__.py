"""Where is code hosted? One file for each platform."""
