"""Documentation commands, and the sources of the help, the manual page and the completion scripts."""
