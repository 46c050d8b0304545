"""Monorepos: a part of the repository is looked at, and nothing elsewhere stops or changes a run."""

from __future__ import annotations

import os

from tests.fidelity.case import Stage, Wanted, case
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
    scratch = Repo.init(repo.path.with_name("only"), repo.env)
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


@case(GROUP, "a huge file elsewhere")
def huge_elsewhere(stage: Stage) -> Wanted:
    wanted = scoped(stage, "services/train")
    with open(wanted.checkout.file("services/serve/model.bin"), "wb") as file:
        file.truncate(5 << 30)
    return wanted


@case(GROUP, "several paths")
def several_paths(stage: Stage) -> Wanted:
    return scoped(stage, "services/train", "libs")


@case(GROUP, "a run started below the root")
def below_the_root(stage: Stage) -> Wanted:
    place = stage.world(files=FILES)
    place.checkout.write("services/train/main.py", "lr = 0.2\n")

    def where(document: dict[str, dict[str, object]]) -> None:
        assert document["run"]["directory"] == "services/train"

    return Wanted(place, place.checkout, cwd="services/train", recorded=where)


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
