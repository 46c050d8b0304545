"""What the forge's own tests ask it with."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import requests

from tests.forge import Forge


class Client:
    """A plain HTTP client that trusts the forge's authority and follows nothing."""

    def __init__(self, forge: Forge) -> None:
        self.forge = forge
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, url: str, token: str | None = None, scheme: str = "Bearer", **headers: str) -> requests.Response:
        if token is not None:
            headers["Authorization"] = f"{scheme} {token}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        ca_file = str(self.forge.ca_file)
        return self.session.get(url, headers=named, allow_redirects=False, verify=ca_file, timeout=20)

    def github(self, path: str, token: str | None = None, **headers: str) -> requests.Response:
        return self.get(self.forge.api_url("github") + path, token, **headers)

    def gitlab(self, path: str, token: str | None = None, **headers: str) -> requests.Response:
        return self.get(self.forge.api_url("gitlab") + path, token, **headers)


def unpack(data: bytes, directory: Path) -> Path:
    """Extracts an archive and gives its one top directory."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz", errors="surrogateescape") as archive:
        archive.extractall(directory, filter="fully_trusted")
    (top,) = directory.iterdir()
    return top
