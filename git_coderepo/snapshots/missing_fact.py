"""Why no base is known: the fact that is missing, and the command that provides it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from git_coderepo.git.base_commit import tracking_arguments
from git_coderepo.git.process import shell_word
from git_coderepo.git.url.remote import push_differs

if TYPE_CHECKING:
    from git_coderepo.snapshots.snapshot import Snapshot

_ASK = "git coderepo status --check asks the platform; run and snapshot take --check as well"


class MissingFact(NamedTuple):
    """A missing fact, in a sentence, and `hints` that provide it."""

    sentence: str
    hints: tuple[str, ...]


def missing_fact(snapshot: Snapshot) -> MissingFact | None:
    """Return why a snapshot has no base; None where it has one, needs none, or has no code repository."""
    source, settings, head = snapshot.source, snapshot.settings, snapshot.head
    if source is None or head is None or snapshot.base is not None:
        return None
    name = source.remote_name
    if name is None:
        return MissingFact(
            f"the code repository '{source.registration.name}' is not tied to a remote of this checkout", (_ASK,)
        )
    word = shell_word(name)
    if push_differs(settings, name):
        return MissingFact(
            f"the remote '{name}' has different URLs for fetch and push, so its tracking references do "
            "not show what the platform has",
            (_ASK, f"add a separate remote for each URL of '{name}': git remote -v lists them"),
        )
    if not tracking_arguments(settings, name):
        refspec = f"+refs/heads/*:refs/remotes/{name}/*"
        return MissingFact(
            f"the setting 'remote.{name}.fetch' creates no tracking references; it is not known what the platform has",
            (
                f"git config --add {shell_word(f'remote.{name}.fetch')} {shell_word(refspec)}",
                f"git fetch {word}",
                _ASK,
            ),
        )
    if snapshot.scope:
        return None  # the base may well have nothing of what is looked at
    if not snapshot.git.run("rev-parse", *tracking_arguments(settings, name)):
        return MissingFact(f"nothing has been fetched from '{name}' yet", (f"git fetch {word}", _ASK))
    return MissingFact(
        f"no commit of this branch was on '{name}' when it was last fetched",
        (f"git fetch {word}", f"git push {word} HEAD", _ASK),
    )
