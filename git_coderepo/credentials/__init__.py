"""Which credential does a request get? Secrets, and the chain of their sources."""
