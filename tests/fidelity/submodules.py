"""Submodules: repositories in their places inside of another, each from where it is served."""

from __future__ import annotations

from tests.e2e.support import World
from tests.fidelity.case import Stage, Wanted, case, files_of
from tests.support.repo import Repo

GROUP = "Submodules"


def with_submodule(stage: Stage, *, url: str | None = None, elsewhere: bool = False) -> World:
    """A superproject on the platform with the submodule `libs/common`, checked out.

    `url` is what `.gitmodules` has, by default the full one; with `elsewhere` it is served by another host.
    """
    place = stage.world(files={"train.py": b"lr = 0.1\n"})
    host = place
    if elsewhere:
        host = stage.world(files={"unused": b"\n"})
        place.user.env.update(host.user.env | {"HOME": place.user.env["HOME"]})
    kind = "git" if place.platform == "file" else place.platform
    source = Repo.init(place.root / "first author of lib", place.scratch.env)
    source.write("lib.py", "x = 1\n")
    source.write("deep/data.bin", bytes(range(256)))
    source.commit("the library")
    served = host.forge.add_repository("acme/common", platform=kind, private=True, source=source.path)
    author = place.clone("author")
    at = url if url is not None else served.url
    aside = ("-c", f"url.file://{served.path}.insteadOf={served.url}", "-c", "protocol.file.allow=always")
    author.git(*aside, "submodule", "--quiet", "add", "--name", "common", served.url, "libs/common")
    author.git("config", "--file", ".gitmodules", "submodule.common.url", at)
    author.commit("with a library")
    place.push(author)
    fresh = place.clone("with a library")
    fresh.git("config", "submodule.common.url", served.url)
    fresh.git(*aside, "submodule", "--quiet", "update", "--init", "--recursive")
    place.checkout = fresh
    return place


def library(place: World) -> Repo:
    return Repo(place.checkout.path / "libs/common", place.user.env)


def recorded(place: World, tree: str | None = None) -> Wanted:
    return Wanted(place, place.checkout, tree, files_of(place, place.checkout))


@case(GROUP, "a submodule")
def plain(stage: Stage) -> Wanted:
    return recorded(with_submodule(stage))


@case(GROUP, "a relative URL")
def relative(stage: Stage) -> Wanted:
    return recorded(with_submodule(stage, url="../common.git"))


@case(GROUP, "a dirty submodule")
def dirty(stage: Stage) -> Wanted:
    place = with_submodule(stage)
    library(place).write("lib.py", "x = 2\n")
    library(place).write("new.py", "y = 1\n")
    return recorded(place)


@case(GROUP, "an unpushed submodule")
def unpushed(stage: Stage) -> Wanted:
    place = with_submodule(stage)
    library(place).write("lib.py", "x = 3\n")
    library(place).commit("here alone")
    return recorded(place)


@case(GROUP, "a submodule that is not initialised")
def uninitialised(stage: Stage) -> Wanted:
    place = with_submodule(stage)
    place.checkout.git("submodule", "--quiet", "deinit", "--force", "--all")
    return recorded(place)


@case(GROUP, "submodule.<name>.update=none")
def never_updated(stage: Stage) -> Wanted:
    place = with_submodule(stage)
    place.checkout.git("submodule", "--quiet", "deinit", "--force", "--all")
    place.checkout.git("config", "submodule.common.update", "none")
    return recorded(place)


@case(GROUP, "a renamed path")
def renamed(stage: Stage) -> Wanted:
    place = with_submodule(stage)
    place.checkout.git("mv", "libs/common", "libs/shared")
    return recorded(place)


@case(GROUP, "a URL that differs from the submodule's remote")
def other_url(stage: Stage) -> Wanted:
    place = with_submodule(stage)
    place.checkout.git("config", "--file", ".gitmodules", "submodule.common.url", "https://example.org/gone.git")
    return recorded(place)
