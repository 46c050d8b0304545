"""Monorepos: a part of the repository is looked at, and nothing elsewhere stops or changes a run."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
import subprocess
from typing import Any

from tests.fidelity.case import Stage, Wanted, case
from tests.fidelity.submodules import library, with_submodule
from tests.support.repo import Repo

GROUP = "Monorepos"
FILES = {
    "services/train/main.py": b"lr = 0.1\n",
    "services/serve/main.py": b"port = 80\n",
    "libs/common.py": b"x = 1\n",
    "README": b"everything\n",
}


def scoped(stage: Stage, *paths: str) -> Wanted:
    """A checkout with an edit in `services/train`; only `paths` are looked at."""
    place = stage.world(files=FILES)
    repo = place.checkout
    repo.write("services/train/main.py", "lr = 0.2\n")
    repo.write("services/train/new.py", "x = 1\n")
    arguments = [word for path in paths for word in ("--subdirectory", path)]
    return Wanted(place, repo, only(repo, *paths), arguments=arguments)


def only(repo: Repo, *paths: str) -> str:
    """The tree that holds only these paths, as they are on the disk."""
    place = repo.path.with_name("only")
    if place.exists():
        shutil.rmtree(place)
    scratch = Repo.init(place, repo.env)
    for path in paths:
        for folder, _, names in os.walk(repo.file(path)):
            for name in names:
                full = os.path.join(folder, os.fsencode(name))
                scratch.write(os.path.relpath(full, os.fsencode(repo.path)), repo.read(full))
    return scratch.tree()


@case(GROUP, "a colleague's dirt elsewhere")
def dirt_elsewhere(stage: Stage) -> Wanted:
    wanted = scoped(stage, "services/train")
    wanted.checkout.write("services/serve/main.py", "half an edit\n")
    wanted.checkout.write("services/serve/.env", "PASSWORD=1\n")
    return wanted


@case(GROUP, "a repository that is no submodule elsewhere")
def broken_elsewhere(stage: Stage) -> Wanted:
    wanted = scoped(stage, "services/train")
    Repo.init(wanted.checkout.path / "services/serve/inner", wanted.place.user.env).commit("its own")
    return wanted


@case(GROUP, "a broken submodule elsewhere")
def broken_submodule_elsewhere(stage: Stage) -> Wanted:
    """Its `.git` leads nowhere: git itself stops at it when it looks at the whole."""
    place = with_submodule(stage)
    repo = place.checkout
    repo.write("services/train/main.py", "lr = 0.2\n")
    (library(place).path / ".git").write_text("gitdir: ../../.git/modules/gone\n")
    assert b"not a git repository" in failing_status(repo)
    return Wanted(place, repo, only(repo, "services/train"), arguments=("--subdirectory", "services/train"))


def failing_status(repo: Repo) -> bytes:
    """What git says where it cannot look at the whole."""
    done = subprocess.run(["git", "status"], cwd=repo.path, env=repo.env, capture_output=True, check=False)
    assert done.returncode != 0
    return done.stderr


@case(GROUP, "a huge file elsewhere")
def huge_elsewhere(stage: Stage) -> Wanted:
    wanted = scoped(stage, "services/train")
    with open(wanted.checkout.file("services/serve/model.bin"), "wb") as file:
        file.truncate(5 << 30)
    return wanted


@case(GROUP, "several paths")
def several_paths(stage: Stage) -> Wanted:
    return scoped(stage, "services/train", "libs")


@case(GROUP, "coderepo.scope")
def by_setting(stage: Stage) -> Wanted:
    """Set once for the checkout, it holds without an option, below the root as well."""
    wanted = scoped(stage, "services/train", "libs")
    wanted.checkout.git("config", "coderepo.scope", "services/train")
    wanted.checkout.git("config", "--add", "coderepo.scope", "libs")
    wanted.checkout.write("services/serve/main.py", "half an edit\n")
    wanted.arguments, wanted.cwd = (), "services"

    def both(document: Any) -> None:
        assert document["code"]["scope"] == ["libs", "services/train"]

    wanted.recorded = both
    return wanted


@case(GROUP, "a part that proves itself")
def proof(stage: Stage) -> Wanted:
    """The tree objects from the root down lead to the part's own, without anything else of the repository."""
    wanted = scoped(stage, "services/train")
    files = wanted.place.scratch.home / "part"
    shutil.copytree(wanted.checkout.path / "services/train", files)
    part = wanted.place.scratch.tree(files)

    def leads_to_the_part(document: Any) -> None:
        code = document["code"]
        known = code["subdirectory"]
        assert (known["path"], known["tree"], len(known["proof"])) == ("services/train", part, 2)
        above = code["snapshot"]["tree"]
        for name, encoded in zip((b"services", b"train"), known["proof"], strict=True):
            contents = base64.b64decode(encoded)
            assert hashlib.sha1(b"tree %d\0%b" % (len(contents), contents)).hexdigest() == above
            _, found, id = contents.partition(b"40000 %b\0" % name)
            assert found
            above = id[:20].hex()
        assert above == part

    wanted.recorded = leads_to_the_part
    return wanted


@case(GROUP, "only the part is asked for")
def asked_for(stage: Stage) -> Wanted:
    """GitLab's archive is of the path, git fetches without blobs and then those of the part; GitHub has whole ones."""
    place = stage.world(files={**FILES, "models/large.bin": random.Random(1).randbytes(300_000)})
    repo = place.checkout
    repo.write("services/train/main.py", "lr = 0.2\n")

    def what_came(_: object) -> None:
        archives = [entry.query.get("path") for entry in place.forge.requests("archive")]
        assert archives == {"git": [], "gitlab": ["services/train"], "github": [None]}[place.platform]
        received = json.loads((place.runner.home / "receipt.json").read_bytes())["bytes"]
        assert (received > 250_000) == (place.platform == "github"), received

    return Wanted(
        place,
        repo,
        only(repo, "services/train"),
        arguments=("--subdirectory", "services/train"),
        fetch=("--receipt", "receipt.json"),
        got=what_came,
    )


@case(GROUP, "a run started below the root")
def below_the_root(stage: Stage) -> Wanted:
    place = stage.world(files=FILES)
    place.checkout.write("services/train/main.py", "lr = 0.2\n")

    def where(document: dict[str, dict[str, object]]) -> None:
        assert document["run"]["directory"] == "services/train"

    return Wanted(place, place.checkout, cwd="services/train", recorded=where)


@case(GROUP, "fetch of another part than the recorded one")
def another_part(stage: Stage) -> Wanted:
    """All that was recorded is verified, then the other part is kept."""
    wanted = scoped(stage, "services")
    repo = wanted.checkout
    repo.write("services/serve/main.py", "port = 81\n")
    wanted.tree = only(Repo(repo.path, repo.env), "services")
    part = Repo(repo.path.with_name("part"), repo.env)
    part.write("main.py", repo.read("services/serve/main.py"))
    wanted.files = wanted.received = wanted.place.scratch.tree(part.path)
    wanted.fetch = ("--subdirectory", "services/serve")
    return wanted


@case(GROUP, "fetch of a part of the whole")
def part_of_the_whole(stage: Stage) -> Wanted:
    """The whole is verified, then the part is kept."""
    place = stage.world(files=FILES)
    repo = place.checkout
    repo.write("services/serve/main.py", "port = 81\n")
    scratch = Repo.init(repo.path.with_name("part"), repo.env)
    scratch.write("main.py", repo.read("services/serve/main.py"))
    part = scratch.tree()
    return Wanted(place, repo, files=part, received=part, fetch=("--subdirectory", "services/serve"))
