"""The base of a snapshot: the commit that the platform is known to have, or the fact that is missing."""

from __future__ import annotations

from git_coderepo.errors import InvalidObjectId, NotReproducible
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import shell_word
from git_coderepo.git.pushed_commits import BaseCommit, KnownCommits, Walks, find_base, tracking_arguments
from git_coderepo.git.url.remote import push_differs
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.platforms.ask_api_or_git import Asking
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.registration.resolve import CodeSource
    from git_coderepo.snapshots.snapshot import Head, Request, Snapshot


def find_served_base(snapshot: Snapshot, source: CodeSource, head: Head, request: Request) -> None:
    """Find the base of `head` for `source`, and ask the platform where that is wanted.

    Raises NotReproducible where the platform no longer has it, and what asking raises.
    """
    settings, layout = snapshot.settings, snapshot.layout
    walks = source.walks or Walks(snapshot.git, settings, head.commit)
    served, walk = walks.walk(source.remote_name) if source.remote_name is not None else ((), None)
    known = KnownCommits(
        references=served,
        walk=walk,
        is_shallow_origin=len(list(settings.subsections("remote"))) == 1,
        fetched_from=source.remote,
        ci_commit=_ci_commit(source, snapshot.git.environment),
    )
    snapshot.base = find_base(snapshot.git, layout, head.commit, known)
    if request.check:
        _ask_platform(snapshot, head, source.platform(notify=request.notify), request)


def _ask_platform(snapshot: Snapshot, head: Head, platform: BaseCodeRepository, request: Request) -> None:
    """Let the platform say whether it serves HEAD, else the base that is known here."""
    from git_coderepo.platforms.ask_api_or_git import Asking

    asking = Asking(platform)
    asking.login()
    known = snapshot.base
    if (known is None or known.commit != head.commit) and asking.has_commit(head.commit):
        snapshot.base = BaseCommit(head.commit, "platform", 0)
        return
    if known is None:
        snapshot.base = _nearest_served(snapshot, head, asking, request)
        return
    answer = asking.has_commit(known.commit)
    if answer:
        snapshot.base = BaseCommit(known.commit, "platform", known.unpushed)
    elif answer is False:
        snapshot.base = None
        words = f"the platform no longer has the commit {known.commit}"
        if not request.allow_unreproducible:
            raise NotReproducible(words, hints=["git fetch --prune", "git push"])
        request.notify(f"warning: {words}: the whole tree travels")


# So many parents are asked for one by one; after that the steps double.
_EACH = 8


def _nearest_served(snapshot: Snapshot, head: Head, asking: Asking, request: Request) -> BaseCommit | None:
    """Ask the platform for the parents of HEAD, on its first-parent chain, until one is served.

    What a platform serves it serves with all its ancestors, so that few questions find the nearest one among many.
    """
    chain = snapshot.git.run("rev-list", "--first-parent", f"{head.commit}^@").decode().split()
    if not chain:
        return None
    request.notify("asking the platform for the parents of HEAD")

    def is_served(at: int) -> bool | None:
        return asking.has_commit(ObjectId(chain[at]))

    at, missing = 0, -1
    while not (answer := is_served(at)):
        if answer is None:
            return None  # it cannot be asked
        if at == len(chain) - 1:
            return None
        missing, at = at, min(at + 1 if at < _EACH - 1 else 2 * at, len(chain) - 1)
    while at - missing > 1:
        middle = (at + missing) // 2
        at, missing = (middle, missing) if is_served(middle) else (at, middle)
    unpushed = int(snapshot.git.line("rev-list", "--count", head.commit.hex, f"^{chain[at]}"))
    return BaseCommit(ObjectId(chain[at]), "platform", unpushed)


def _ci_commit(source: CodeSource, environment: dict[str, str]) -> ObjectId | None:
    """The commit that this platform's CI says it checked out of this very repository."""
    ci = source.platform_class.ci
    if ci is None or environment.get(ci.marker[0]) != ci.marker[1] or source.remote is None:
        return None
    name = environment.get(ci.repository, "").strip("/").lower()
    place = "/".join(part for part in (source.remote.owner, source.remote.repository) if part).lower()
    if not name or not (place == name or place.endswith("/" + name)):
        return None
    try:
        return ObjectId(environment.get(ci.commit, ""))
    except InvalidObjectId:
        return None


# --- Why no base is known --------------------------------------------------------------------------------------------

_ASK = "git coderepo status --check asks the platform; run and snapshot take --check as well"


class MissingFact(Value):
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
            sentence=f"the code repository '{source.registration.name}' is not tied to a remote of this checkout",
            hints=(_ASK,),
        )
    word = shell_word(name)
    if push_differs(settings, name):
        return MissingFact(
            sentence=f"the remote '{name}' has different URLs for fetch and push, so its tracking references do "
            "not show what the platform has",
            hints=(_ASK, f"add a separate remote for each URL of '{name}': git remote -v lists them"),
        )
    if not tracking_arguments(settings, name):
        refspec = f"+refs/heads/*:refs/remotes/{name}/*"
        return MissingFact(
            sentence=f"the setting 'remote.{name}.fetch' creates no tracking references; it is not known what the "
            "platform has",
            hints=(
                f"git config --add {shell_word(f'remote.{name}.fetch')} {shell_word(refspec)}",
                f"git fetch {word}",
                _ASK,
            ),
        )
    if snapshot.scope:
        return None  # the base may well have nothing of what is looked at
    if not snapshot.git.run("rev-parse", *tracking_arguments(settings, name)):
        return MissingFact(sentence=f"nothing has been fetched from '{name}' yet", hints=(f"git fetch {word}", _ASK))
    return MissingFact(
        sentence=f"no commit of this branch was on '{name}' when it was last fetched",
        hints=(f"git fetch {word}", f"git push {word} HEAD", _ASK),
    )
