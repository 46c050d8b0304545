"""Where the command runs, and which work tree git reports for that place: the two must be one."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.fidelity.case import Stage, Wanted, case
from tests.fidelity.odd_checkouts import PARTS, edited
from tests.fidelity.submodules import library, with_submodule
from tests.support.repo import Repo

GROUP = "Places"


@case(GROUP, "a copied submodule: git looks at the original")
def copied_submodule(stage: Stage) -> Wanted:
    place = with_submodule(stage)
    copy = place.user.home / "copied library"
    shutil.copytree(library(place).path, copy)
    # Its `.git` names the submodule's repository by a relative path.
    (copy / ".git").write_text(f"gitdir: {place.checkout.path}/.git/modules/common\n")
    repo = Repo(copy, place.checkout.env)
    repo.write("lib.py", "an experiment in the copy\n")
    return Wanted(place, repo, tree="refused")


@case(GROUP, "a worktree of a submodule")
def worktree_of_a_submodule(stage: Stage) -> Wanted:
    place = with_submodule(stage)
    repo = Repo(place.user.home / "second library", place.checkout.env)
    library(place).git("worktree", "add", "--quiet", "-b", "second", repo.path)
    repo.write("lib.py", "x = 9\n")
    return Wanted(place, repo)


@case(GROUP, "a worktree of a submodule, with extensions.worktreeConfig")
def worktree_with_configuration(stage: Stage) -> Wanted:
    place = with_submodule(stage)
    repo = Repo(place.user.home / "second library", place.checkout.env)
    library(place).git("config", "extensions.worktreeConfig", "true")
    library(place).git("worktree", "add", "--quiet", "-b", "second", repo.path)
    return Wanted(place, repo, tree="refused")


@case(GROUP, "core.worktree leads elsewhere")
def configured_elsewhere(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    elsewhere = place.user.home / "elsewhere"
    elsewhere.mkdir()
    place.checkout.git("config", "core.worktree", elsewhere)
    return Wanted(place, place.checkout, tree="refused")


@case(GROUP, "core.worktree leads to the root, as for dotfiles")
def configured_here(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    edited(place)
    place.checkout.git("config", "core.worktree", place.checkout.path)
    return Wanted(place, place.checkout)


@case(GROUP, "reached through a symbolic link")
def through_a_link(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    edited(place)
    link = Path(place.user.home, "l\xefnk to it")
    link.symlink_to(place.checkout.path)
    return Wanted(place, Repo(link, place.checkout.env))


@case(GROUP, "reached through a symbolic link into it")
def through_a_link_below(stage: Stage) -> Wanted:
    place = stage.world(files=PARTS)
    edited(place)
    link = place.user.home / "core"
    link.symlink_to(place.checkout.path / "core")
    repo = Repo(link, place.checkout.env)
    return Wanted(place, repo, tree=place.checkout.tree())
