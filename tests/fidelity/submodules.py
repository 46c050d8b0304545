"""Submodules: repositories in their places inside of another, each from where it is served."""

from __future__ import annotations

import os

from tests.e2e.support import World
from tests.fidelity.case import Stage, Wanted, case, files_of
from tests.support.repo import Repo

GROUP = "Submodules"


def with_submodule(stage: Stage, *, url: str | None = None, elsewhere: str = "") -> World:
    """A superproject on the platform with the submodule `libs/common`, checked out.

    `url` is what `.gitmodules` has, by default the full one; `elsewhere` is the platform of another host that serves
    it, for a token of its own, which user and runner have.
    """
    place = stage.world(files={"train.py": b"lr = 0.1\n"})
    host = place
    if elsewhere:
        host = stage.world(files={"unused": b"\n"}, platform=elsewhere)
        place.checkout.git("config", "--global", f"coderepo.{host.forge.url}/.type", elsewhere)
        for machine in (place.user, place.runner):
            named = host.forge.url.replace("://", f"://{host.git_user}:{host.token}@")
            (machine.home / "credentials").write_text(named + "\n", encoding="utf-8")
            for env in (machine.env, machine.program.env):
                env["CODEREPO_CREDENTIALS_FILE"] = str(machine.home / "credentials")
    kind = "git" if host.platform == "file" else host.platform
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


def with_nested(stage: Stage) -> World:
    """A superproject with the submodule `libs/outer`, in which `deep/inner` is one; all are checked out."""
    place = stage.world(files={"train.py": b"lr = 0.1\n"})
    kind = "git" if place.platform == "file" else place.platform
    aside: list[str] = ["-c", "protocol.file.allow=always"]
    made = None
    for name, path in (("inner", "deep/inner"), ("outer", "libs/outer")):
        source = Repo.init(place.root / f"first author of {name}", place.scratch.env)
        source.write("lib.py", f"name = '{name}'\n")
        if made is not None:
            source.git(*aside, "submodule", "--quiet", "add", "--name", "inner", made.url, "deep/inner")
        source.commit(name)
        made = place.forge.add_repository(f"acme/{name}", platform=kind, private=True, source=source.path)
        aside += ["-c", f"url.file://{made.path}.insteadOf={made.url}"]
        if name == "outer":
            author = place.clone("author")
            author.git(*aside, "submodule", "--quiet", "add", "--name", "outer", made.url, path)
            author.commit("with a library")
            place.push(author)
    fresh = place.clone("with libraries")
    fresh.git(*aside, "submodule", "--quiet", "update", "--init", "--recursive")
    place.checkout = fresh
    return place


@case(GROUP, "a submodule of a submodule")
def nested(stage: Stage) -> Wanted:
    place = with_nested(stage)
    assert place.checkout.read("libs/outer/deep/inner/lib.py") == b"name = 'inner'\n"
    return recorded(place)


@case(GROUP, "a submodule of a submodule, dirty")
def nested_dirty(stage: Stage) -> Wanted:
    """An edit, an unpushed commit and an untracked file, two down."""
    place = with_nested(stage)
    inner = Repo(place.checkout.path / "libs/outer/deep/inner", place.user.env)
    inner.write("more.py", "x = 1\n")
    inner.commit("here alone")
    inner.write("lib.py", "edited, two down\n")
    inner.write(b"-new \xe9\n.py", "y = 1\n")
    return recorded(place)


@case(GROUP, "a submodule from another host than its parent")
def elsewhere(stage: Stage) -> Wanted:
    return from_another_host(stage, stage.platform)


@case(GROUP, "a submodule of another platform")
def another_platform(stage: Stage) -> Wanted:
    """`git` in `gitlab`, `gitlab` in the others."""
    return from_another_host(stage, "git" if stage.platform == "gitlab" else "gitlab")


def from_another_host(stage: Stage, platform: str) -> Wanted:
    """Each host has a credential of its own, and neither sees the other's."""
    place = with_submodule(stage, elsewhere=platform)
    host = stage.worlds[-1]
    library(place).write("lib.py", "x = 2\n")
    wanted = recorded(place)

    def each_with_its_own(_: object) -> None:
        assert place.forge.origins_that_saw(host.token) == set() == host.forge.origins_that_saw(place.token)
        assert host.forge.url in host.forge.origins_that_saw(host.token)

    wanted.got = each_with_its_own
    return wanted


@case(GROUP, "a submodule that lost its .git")
def without_git(stage: Stage) -> Wanted:
    """Files in its place, and nothing that says which they are."""
    place = with_submodule(stage)
    os.unlink(library(place).path / ".git")
    return Wanted(place, place.checkout, refused=lambda _: None)


@case(GROUP, "a URL that differs from the submodule's remote")
def other_url(stage: Stage) -> Wanted:
    place = with_submodule(stage)
    place.checkout.git("config", "--file", ".gitmodules", "submodule.common.url", "https://example.org/gone.git")
    return recorded(place)
