"""git as a transport in the other direction: one reference to the repository that a runner fetches from, or away again.

What is pushed is the user's act: their own git, keys and credential helpers come first, and only where those have no
credential, or one that may not write, the one that is kept for the platform.
"""

from __future__ import annotations

from git_coderepo.errors import (
    CodeRepoError,
    CredentialError,
    CredentialMissing,
    GitFailed,
    MethodUnavailable,
    PushRefused,
    ScopeMissing,
)
from git_coderepo.git.process import LOCAL_ENVIRONMENT, Git
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.trace import redact
from git_coderepo.transport.git import Road, credential_for, own_road, prepared
from git_coderepo.transport.git_messages import explain
from git_coderepo.transport.users_remote import pushed_to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.credentials.secret import CredentialSource
    from git_coderepo.platforms.base import BaseCodeRepository

_PUSH = (
    "push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags", "--recurse-submodules=no", "--thin",
)  # fmt: skip
# Options for the user's own pushes are not for ours; without a look at what both sides have, a clone that has not
# fetched for a while would send its whole history.
_PUSH_SETTINGS = (("push.pushOption", ""), ("push.negotiate", "true"))
NAMESPACE = "refs/coderepo/runs/"


def push(repository: BaseCodeRepository, git: Git, refspec: str) -> None:
    """Push one refspec (`ID:refs/…`, or `:refs/…` to remove one) to a code repository.

    `git` stands in the user's repository, and says in its environment where else objects are. Raises PushRefused,
    MethodUnavailable, CredentialError, and what `git_words.explain` makes of git's words.
    """
    text = repository.git_url()
    if text is None:
        raise MethodUnavailable(f"git cannot push to '{repository.name}'")
    url = RemoteURL.parse(text)
    try:
        _attempt(_users_road(repository, git, url), refspec, repository.credentials)
    except CredentialError as error:
        credential = credential_for(url, repository.credentials)
        if credential is None:
            raise
        user, allowed = repository.git_credential_user(), repository.protocols
        reach = _in_this_repository(prepared(git, url, credential, user, allowed), git)
        try:
            _attempt(Road(reach, url.url(), url, credential), refspec, repository.credentials)
        except CredentialError as second:
            second.hints = (*second.hints, f"your own git cannot push either: {error.message}")
            raise


def _users_road(repository: BaseCodeRepository, git: Git, url: RemoteURL) -> Road:
    """Return the user's own git: through their remote, where a push to it reaches the repository, else by the URL."""
    own = repository.users_remote
    to = pushed_to(repository, own, git) if own is not None else None
    if own is None or to is None:
        reach = prepared(git, url, None, repository.git_credential_user(), repository.protocols)
        return Road(_in_this_repository(reach, git), url.url(), url, None)
    road = own_road(to, None, repository.protocols)
    if to.name == own.name:
        road.git = road.git.with_settings((f"remote.{own.name}.mirror", "false"))  # a mirror takes no refspec
        if _is_tracked(git, own.name):
            # A push moves the tracking reference of what it pushed, unless a negative refspec says not to; that counts
            # where another one leads to the reference itself: remote.c, query_matches_negative_refspec.
            refspecs = (f"{NAMESPACE}*:{NAMESPACE}*", f"^{NAMESPACE}*")
            road.git = road.git.with_settings(*((f"remote.{own.name}.fetch", each) for each in refspecs))
    return road


def _is_tracked(git: Git, name: str) -> bool:
    """Return whether the remote's refspecs give our references a tracking reference."""
    refspecs = git.start("config", "--null", "--get-all", f"remote.{name}.fetch").finish().stdout.split(b"\0")
    sources = (each.lstrip(b"+").partition(b":")[0].partition(b"*") for each in refspecs)
    return any(star and NAMESPACE.encode().startswith(before) for before, star, _ in sources)


def _attempt(road: Road, refspec: str, credentials: CredentialSource) -> None:
    road.git = road.git.with_settings(*_PUSH_SETTINGS)
    process = road.run(*_PUSH, "--", "{url}", refspec)
    if process.status == 0:
        return
    failure = process.failure()
    if isinstance(failure, GitFailed):
        raise _explained(failure, process.stdout, road, credentials)
    raise failure


def _in_this_repository(reach: Git, git: Git) -> Git:
    kept = {name: value for name, value in git.environment.items() if _of_this_repository(name)}
    return reach.with_environment(**kept)


def _of_this_repository(name: str) -> bool:
    return name in LOCAL_ENVIRONMENT or name.startswith(("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"))


def _explained(failure: GitFailed, stdout: bytes, road: Road, credentials: CredentialSource) -> CodeRepoError:
    """What a push that failed means: the platform's refusal in its own words, else what any transport's failure means.

    `!<TAB>FROM:TO<TAB>[remote rejected] (REASON)`: git-push(1), --porcelain.
    """
    url, credential = road.url, road.credential
    place = f"'{url.origin() or url.host or url.path}'"
    told = failure.stderr.decode("utf-8", "replace").splitlines()
    remarks = [text for line in told if line.startswith("remote:") and (text := line[7:].strip(" \t\x1b[K"))]
    for line in stdout.decode("utf-8", "replace").splitlines():
        if line.startswith("!\t"):
            reason = line.rpartition("\t")[2]
            reason = reason.partition("(")[2].removesuffix(")") or reason
            said = [text for text in remarks if set(text) - set("=*- ")][:3]
            return PushRefused(
                redact(f"{place} refused the reference: {reason}"),
                hints=[redact(f"the server says: {text}") for text in said],
            )
    words = failure.stderr.decode("utf-8", "replace").lower()
    if "returned error: 403" in words:
        whose = "your git credential" if credential is None else f"the token from {credential.source}"
        hints = [redact(f"the server says: {text}") for text in remarks[:3]]
        return ScopeMissing(
            f"{whose} may not push to {place}", hints=[*hints, "give it the right to push, which publishing needs"]
        )
    error = explain(failure, url, credential, credentials, proxy=road.proxy(failure.stderr))
    if isinstance(error, CredentialMissing):
        error.hints = (*error.hints, "give it the right to push, which publishing needs")
    return error
