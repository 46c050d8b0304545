"""Commands that configure code repositories and their credentials."""
