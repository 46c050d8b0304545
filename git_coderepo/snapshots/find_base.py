"""The base of a snapshot: the commit that the platform is known to have, its tree, or the fact that is missing."""

from __future__ import annotations

import os

from git_coderepo.errors import InvalidObjectId, NotReproducible
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.process import shell_word
from git_coderepo.git.pushed_commits import BaseCommit, KnownCommits, Walks, find_base, tracking_arguments
from git_coderepo.git.subtree import rows_inside
from git_coderepo.git.url.remote import push_differs
from git_coderepo.snapshots.archive_check import (
    alters_archive,
    attribute_files,
    attribute_texts,
    attributes_here,
    differs_in_archive,
)
from git_coderepo.snapshots.snapshot import Served, ServedTree
from git_coderepo.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.platforms.ask_api_or_git import Asking
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.registration.resolve import CodeSource
    from git_coderepo.snapshots.snapshot import Attempt, Checkout, Head, Request, SnapshotTree


def find_served_base(attempt: Attempt, checkout: Checkout, source: CodeSource, head: Head) -> Served:
    """Find the base of `head` for `source`, and ask the platform if the request says so.

    Raises NotReproducible if the platform no longer has it, and what asking raises.
    """
    settings, request = checkout.settings, attempt.request
    walks = source.walks or Walks(checkout.git, settings, head.commit)
    served, walk = walks.walk(source.remote_name) if source.remote_name is not None else ((), None)
    known = KnownCommits(
        references=served,
        walk=walk,
        is_shallow_origin=len(list(settings.subsections("remote"))) == 1,
        fetched_from=source.remote,
        ci_commit=_ci_commit(source, checkout.git.environment),
    )
    base = find_base(checkout.git, checkout.layout, head.commit, known)
    result = attempt.reached.note(Served(source=source, base=base))
    if not request.check:
        return result
    platform = source.platform(notify=request.notify)
    result = attempt.reached.note(Served(source=source, base=_ask_platform(checkout, platform, head, base, request)))
    if base is not None and result.base is None:
        message = f"the platform no longer has the commit {base.commit}"
        if not request.allow_unreproducible:
            raise NotReproducible(message, hints=["git fetch --prune", "git push"])
        request.notify(f"warning: {message}: the whole tree travels")
    return result


def _ask_platform(
    checkout: Checkout, platform: BaseCodeRepository, head: Head, known: BaseCommit | None, request: Request
) -> BaseCommit | None:
    """Ask the platform whether it serves HEAD, else the base that is known here; return what it serves."""
    from git_coderepo.platforms.ask_api_or_git import Asking

    asking = Asking(platform)
    asking.login()
    if (known is None or known.commit != head.commit) and asking.has_commit(head.commit):
        return BaseCommit(head.commit, "platform", 0)
    if known is None:
        return _nearest_served(checkout, head, asking, request)
    answer = asking.has_commit(known.commit)
    if answer is None:
        return known
    return BaseCommit(known.commit, "platform", known.unpushed) if answer else None


# The parents that are asked for one by one; after that the steps double.
_EACH = 8


def _nearest_served(checkout: Checkout, head: Head, asking: Asking, request: Request) -> BaseCommit | None:
    """Ask the platform for the parents of HEAD, on its first-parent chain, until one is served.

    A platform serves a commit with all its ancestors, so that few requests find the nearest one among many.
    """
    chain = checkout.git.run("rev-list", "--first-parent", f"{head.commit}^@").decode().split()
    if not chain:
        return None
    request.notify("asking the platform for the parents of HEAD")

    def is_served(at: int) -> bool | None:
        return asking.has_commit(ObjectId(chain[at]))

    at, missing = 0, -1
    while not (answer := is_served(at)):
        if answer is None:
            return None  # the platform cannot answer
        if at == len(chain) - 1:
            return None
        missing, at = at, min(at + 1 if at < _EACH - 1 else 2 * at, len(chain) - 1)
    while at - missing > 1:
        middle = (at + missing) // 2
        at, missing = (middle, missing) if is_served(middle) else (at, middle)
    unpushed = int(checkout.git.line("rev-list", "--count", head.commit.hex, f"^{chain[at]}"))
    return BaseCommit(ObjectId(chain[at]), "platform", unpushed)


def _ci_commit(source: CodeSource, environment: dict[str, str]) -> ObjectId | None:
    """Return the commit that this platform's CI says it checked out of this repository."""
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


# --- The tree of the base --------------------------------------------------------------------------------------------


def read_served_tree(checkout: Checkout, served: Served, tree: SnapshotTree, head_listing: bytes) -> ServedTree | None:
    """Return the tree of the base, and whether the platform's archive of it has the same files.

    None if there is no base, or none of its files is in the scope. Raises NotReproducible for a path of the scope that
    does not exist.
    """
    base, head = served.base, checkout.head
    result, base_paths = None, set[bytes]()
    if base is not None and head is not None:
        if base.commit == head.commit:
            id, listing = head.tree, head_listing
        else:
            id = base.tree or ObjectId(checkout.git.line("rev-parse", "--verify", f"{base.commit}^{{tree}}"))
            listing = _base_listing(checkout, tree, id)
        archive = "altered" if _is_altered(checkout, id, listing) else "exact"
        result = ServedTree(base=base, tree=id, part=id, archive=archive)
        if checkout.scope:
            part = checkout.part_of(id.hex, checkout.scope)
            base_paths = set(part.rows)
            result = result.replace(part=part.tree) if part.rows else None
    _refuse_missing_scope(checkout, base_paths.union(tree.part.rows if tree.part is not None else ()))
    return result


def _base_listing(checkout: Checkout, tree: SnapshotTree, base_tree: ObjectId) -> bytes:
    """Return rows of the base's tree, its attributes files among them."""
    from git_coderepo.snapshots.tree.edit import telling

    # If no difference affects other paths, the snapshot's rows are as good as the base's.
    if not checkout.looked_at and (base_tree == tree.id or not telling(tree.differences.since(base_tree))):
        return tree.listing
    listing = checkout.git.run("ls-tree", "-r", "-z", "--full-tree", base_tree.hex)
    return rows_inside(listing, checkout.looked_at)


def _is_altered(checkout: Checkout, base_tree: ObjectId, listing: bytes) -> bool:
    """Return whether an archive of the base would have other files, or other contents, than its tree."""
    files = attribute_files(listing)
    if not files:
        return False
    git, settings = checkout.git, checkout.settings
    if len(attribute_files(attributes_here(checkout.git_with_store, settings, base_tree, listing))) < len(files):
        return True  # a partial clone does not know; runners use git then, which is never wrong
    texts = attribute_texts(git, checkout.layout.toplevel, listing)
    if not alters_archive(texts.values()):
        return False
    # Some line could alter an archive: paths and contents say whether it does.
    rows = git.run("ls-tree", "-r", "-z", "--full-tree", base_tree.hex)
    return differs_in_archive(git, rows_inside(rows, checkout.looked_at), texts)


def _refuse_missing_scope(checkout: Checkout, known: set[bytes]) -> None:
    """Raise NotReproducible for a path of the scope that is neither `known` nor a path of this checkout on the disk."""
    toplevel = checkout.layout.toplevel
    for path in checkout.scope:
        if path in known:
            continue
        above = [path[:at] for at, byte in enumerate(path) if byte == ord("/")]  # the outermost first
        link = next((each for each in above if os.path.islink(toplevel + b"/" + each)), None)
        outer = next((each for each in reversed(above) if os.path.lexists(toplevel + b"/" + each + b"/.git")), None)
        if link is None and outer is not None:
            raise NotReproducible(
                f"'{os.fsdecode(path)}' is inside the submodule '{os.fsdecode(outer)}', which is looked at as a whole",
                hints=[f"use --subdirectory {shell_word(outer)}"],
            )
        if link is not None or not os.path.lexists(toplevel + b"/" + path):
            # Git has nothing beyond a link: the snapshot would be empty.
            where = f"is beyond the symbolic link '{os.fsdecode(link)}'" if link is not None else "does not exist"
            raise NotReproducible(
                f"the path '{os.fsdecode(path)}' of the scope {where}",
                hints=["look at --subdirectory, and at: git config --get-all coderepo.scope"],
            )


# --- Why no base is known --------------------------------------------------------------------------------------------

_ASK = "git coderepo status --check asks the platform; run and snapshot take --check as well"


class MissingFact(Value):
    """A missing fact, in a sentence, and `hints` that provide it."""

    sentence: str
    hints: tuple[str, ...]


def missing_fact(checkout: Checkout, served: Served) -> MissingFact | None:
    """Return the reason why the base is unknown; None if it is known or not needed, or without a code repository."""
    source, settings = served.source, checkout.settings
    if source is None or checkout.head is None or served.base is not None:
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
    if checkout.scope:
        return None  # the base may have no file of the scope
    if not checkout.git.run("rev-parse", *tracking_arguments(settings, name)):
        return MissingFact(sentence=f"nothing has been fetched from '{name}' yet", hints=(f"git fetch {word}", _ASK))
    return MissingFact(
        sentence=f"no commit of this branch was on '{name}' when it was last fetched",
        hints=(f"git fetch {word}", f"git push {word} HEAD", _ASK),
    )
