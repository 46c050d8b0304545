"""A remote over ssh: its server names the LFS server, and gives a header for it (`git-lfs-authenticate`)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.support import World, refused, world
from tests.forge.lfs import pointer, put

WEIGHTS = b"weights " * 9000
FILES = {".gitattributes": b"*.bin filter=lfs -text\n", "weights.bin": pointer(WEIGHTS), "train.py": b"lr = 0.1\n"}
# ssh as git starts it: options, the host, a command for a shell there; "there" is here.
SSH = """#!/bin/sh
while [ "$1" != git@127.0.0.1 ]; do shift; done
shift
PATH="$(dirname "$0"):$PATH" exec sh -c "$*"
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[World]:
    """The code comes over ssh, where the user has keys; nobody has a token for https."""
    with world(tmp_path, "git", files=FILES) as made:
        put(made.repository, WEIGHTS)
        made.url = f"ssh://git@127.0.0.1{made.repository.path}"
        made.checkout.git("remote", "set-url", "origin", made.url)
        folder = tmp_path / "far away"
        folder.mkdir()
        (folder / "ssh").write_text(SSH)
        (folder / "ssh").chmod(0o755)
        for machine in (made.user, made.runner):
            for name in ("CODEREPO_TOKEN", "CODEREPO_TOKEN_ORIGIN"):
                del machine.env[name]
                machine.program.env.pop(name, None)
            machine.program.env["GIT_SSH_COMMAND"] = f"'{folder}/ssh'"
        yield made


def answer(place: World, text: str, status: int = 0) -> None:
    """What `git-lfs-authenticate` says there; it writes down what it was asked."""
    script = place.root / "far away" / "git-lfs-authenticate"
    script.write_text(f'#!/bin/sh\necho "$@" >> "$(dirname "$0")/asked"\ncat <<"END"\n{text}\nEND\nexit {status}\n')
    script.chmod(0o755)


def test_what_lfs_keeps_comes_with_the_header_that_ssh_gave(place: World) -> None:
    basic = base64.b64encode(f"ada:{place.token}".encode()).decode()
    href = f"{place.repository.url}/info/lfs"
    answer(place, json.dumps({"href": href, "header": {"Authorization": f"Basic {basic}"}, "expires_in": 60}))
    # Its objects want the client's own credential, and there is none: this server hands them out by a link.
    place.repository.platform = "github"
    place.forge.tokens.add("github", None, None, "personal", place.token, "ada")
    manifest = place.manifest()
    place.runner.run("fetch", manifest, "code")
    assert (place.runner.home / "code" / "weights.bin").read_bytes() == WEIGHTS
    assert (place.root / "far away" / "asked").read_text() == f"{place.repository.path} download\n"
    assert place.forge.origins_that_saw(place.token) == {place.forge.url}


def test_a_server_that_does_not_know_the_command_is_named(place: World) -> None:
    manifest = place.manifest()
    says = "'127.0.0.1' does not answer 'git-lfs-authenticate' over ssh"
    refused(place.runner, "fetch", manifest, "code", status=128, says=says, hint="--no-lfs")
    answer(place, "Welcome to git.corp!")
    says = "'127.0.0.1' answered 'git-lfs-authenticate' with something else"
    refused(place.runner, "fetch", manifest, "code", status=128, says=says, hint=None)
