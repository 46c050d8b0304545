"""A hosting platform for tests and benchmarks, written from the platforms' own documents.

It serves real bare repositories over smart HTTP, and the parts of GitHub's and GitLab's API that lead to a commit's
files, with tokens, TLS, and misbehaviour on demand. See `Forge`.
"""

from __future__ import annotations

import socket

from tests.forge.misbehaviour import (
    BrokenGzip,
    Cut,
    Delay,
    Garbled,
    Gone,
    Hangup,
    Html,
    LimitReset,
    Misbehaviour,
    MissingEntry,
    OtherCommit,
    Redirect,
    Reset,
    RetryAfter,
    RewrittenTar,
    Slow,
    Stall,
    Status,
    Typed,
    WrongByte,
)
from tests.forge.model import Recorded, Repository
from tests.forge.server import Forge

__all__ = [
    "BrokenGzip",
    "Cut",
    "Delay",
    "Forge",
    "Garbled",
    "Gone",
    "Hangup",
    "Html",
    "LimitReset",
    "Misbehaviour",
    "MissingEntry",
    "OtherCommit",
    "Recorded",
    "Redirect",
    "Repository",
    "Reset",
    "RetryAfter",
    "RewrittenTar",
    "Slow",
    "Stall",
    "Status",
    "Typed",
    "WrongByte",
    "closed_port",
    "free_port",
]


_closed: list[socket.socket] = []


def closed_port() -> int:
    """A port of 127.0.0.1 that refuses connections, and that nobody else gets as long as this process lives."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    _closed.append(holder)
    port: int = holder.getsockname()[1]
    return port


def free_port() -> int:
    """A port of 127.0.0.1 for a server that cannot choose one by itself; somebody else may be quicker."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
