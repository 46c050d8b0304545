"""A keyring for tests: a backend as keyring's own documentation describes them, kept in a JSON file in HOME."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

NAME = "tests.support.keyring_backend.FileKeyring"


class FileKeyring(KeyringBackend):
    """`$HOME/keyring.json`; locked while `$HOME/keyring.locked` exists."""

    priority = -1.0  # never chosen unless asked for by name

    def get_password(self, service: str, username: str) -> str | None:
        return _read().get(f"{service}\n{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        _write({**_read(), f"{service}\n{username}": password})

    def delete_password(self, service: str, username: str) -> None:
        entries = _read()
        if entries.pop(f"{service}\n{username}", None) is None:
            raise PasswordDeleteError("no such password")
        _write(entries)


def _path() -> str:
    return os.path.join(os.environ["HOME"], "keyring.json")


def _read() -> dict[str, str]:
    if os.path.exists(os.path.join(os.environ["HOME"], "keyring.locked")):
        raise KeyringLocked("locked")
    try:
        with open(_path(), encoding="utf-8") as file:
            entries: dict[str, str] = json.load(file)
            return entries
    except FileNotFoundError:
        return {}


def _write(entries: dict[str, str]) -> None:
    with open(_path(), "w", encoding="utf-8") as file:
        json.dump(entries, file)


@contextmanager
def file_keyring(home: Path) -> Iterator[Path]:
    """This process uses the keyring of `home`; gives the file that it is kept in."""
    import keyring
    from keyring.backends.null import Keyring

    before = os.environ.get("HOME")
    os.environ["HOME"] = str(home)
    keyring.set_keyring(FileKeyring())
    try:
        yield home / "keyring.json"
    finally:
        keyring.set_keyring(Keyring())
        if before is None:
            del os.environ["HOME"]
        else:
            os.environ["HOME"] = before
