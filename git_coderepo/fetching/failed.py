"""Every way failed: which of the errors says most, and for what a git would have been needed."""

from __future__ import annotations

from collections.abc import Sequence

from git_coderepo.errors import (
    CodeRepoError,
    GitNotFound,
    GitUnusable,
    MethodUnavailable,
    ScopeMissing,
    TokenRefused,
    TreeDiffers,
)
from git_coderepo.fetching.node import Wanted
from git_coderepo.fetching.receipt import Fallback

_INSTALL = "install git 2.34 or newer, or add it to PATH"


def without_git(
    error: CodeRepoError, wanted: Wanted, *, insisted: bool, before: Sequence[CodeRepoError] = ()
) -> CodeRepoError:
    """An error of the method `git`; where there is no git, in words that say for what it is needed here.

    `insisted`: no other method is to be tried. `before` are the errors of the methods that were tried.
    """
    if not isinstance(error, GitNotFound):
        return error
    if insisted:
        return GitNotFound("git was asked for, and there is no 'git' on PATH", hints=["--method auto", _INSTALL])
    platform = wanted.base.platform if wanted.base is not None else None
    kind = platform.type if platform is not None else "git"
    if not wanted.archive_exact:
        return GitNotFound(
            "git is required: attributes of this tree (export-ignore, export-subst and the like) alter its archives, "
            "and there is no 'git' on PATH",
            hints=[_INSTALL, "or remove these attributes and record the run again"],
        )
    differs = next((each for each in before if isinstance(each, TreeDiffers)), None)
    if differs is not None:
        return GitNotFound(
            "git is required: the platform's archive differs from the recorded tree (as it does where "
            "submodules are missing in it), and there is no 'git' on PATH",
            hints=[_INSTALL, differs.message],
        )
    if any(not isinstance(each, MethodUnavailable) for each in before):
        return GitNotFound("no 'git' on PATH", hints=[_INSTALL])
    return GitNotFound(
        f"git is required: the platform '{kind}' gives no archives, and there is no 'git' on PATH",
        hints=[
            _INSTALL,
            "or register the checkout as github or gitlab, whose archives need no git, and record the run again",
        ],
    )


def best_error(errors: list[CodeRepoError], fallbacks: list[Fallback]) -> CodeRepoError:
    """The error that says most: the last one, with what the ways before it said as hints.

    Where an API names the missing scope, and git says of the same token only that it is refused, the API's word. Where
    git could not be asked, the word of whoever was; unless what came was altered, for which git is the cure.
    """
    best = errors[-1]
    if isinstance(best, TokenRefused):
        best = next((error for error in errors if isinstance(error, ScopeMissing)), best)
    not_asked = next((error for error in errors if isinstance(error, GitNotFound | GitUnusable)), None)
    if not_asked is not None:
        said = [error for error in errors if not isinstance(error, GitNotFound | MethodUnavailable | TreeDiffers)]
        best = said[-1] if said else not_asked
    if best is errors[-1]:
        earlier = [f"before that, {each.method}: {each.reason}" for each in fallbacks if each.reason != best.message]
        best.hints = (*best.hints, *earlier)
    return best
