"""Where credentials come from: a chain of sources, asked by the origin of the request that is about to be sent.

The links, first one first: an option of the registration, the environment, a host rule, the keyring, git's own
credential helpers, none. Each link is one file.
"""
