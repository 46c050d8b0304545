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
from git_coderepo.git import LOCAL_ENVIRONMENT, Git
from git_coderepo.platforms.git_transport import credential_for, prepared
from git_coderepo.platforms.git_words import explain
from git_coderepo.trace import redact
from git_coderepo.urls import RemoteURL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.credential import Credential
    from git_coderepo.platforms.base import BaseCodeRepository

_PUSH = (
    "push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags", "--recurse-submodules=no", "--thin",
)  # fmt: skip
# Options for the user's own pushes are not for ours; without a look at what both sides have, a clone that has not
# fetched for a while would send its whole history.
_SETTINGS = (("push.pushOption", ""), ("push.negotiate", "true"))


def push(repository: BaseCodeRepository, git: Git, refspec: str, *, url: RemoteURL | None = None) -> None:
    """Push one refspec (`ID:refs/…`, or `:refs/…` to remove one) to a code repository.

    `git` stands in the user's repository, and says in its environment where else objects are. `url` is where the user's
    own git pushes to, None: the code repository's git URL. No remote is named, so that no tracking reference moves.
    Raises PushRefused, MethodUnavailable, CredentialError, and what `git_words.explain` makes of git's words.
    """
    if url is None:
        text = repository.git_url()
        if text is None:
            raise MethodUnavailable(f"git cannot push to '{repository.name}'")
        url = RemoteURL.parse(text)
    try:
        _attempt(repository, git, refspec, url, None)
    except CredentialError as error:
        credential = credential_for(url, repository.credentials)
        if credential is None:
            raise
        try:
            _attempt(repository, git, refspec, url, credential)
        except CredentialError as second:
            second.hints = (*second.hints, f"before that, with your own git: {error.message}")
            raise


def _attempt(
    repository: BaseCodeRepository, git: Git, refspec: str, url: RemoteURL, credential: Credential | None
) -> None:
    kept = {name: value for name, value in git.environment.items() if _of_this_repository(name)}
    reach = prepared(git, url, credential, repository.git_credential_user(), repository.protocols)
    reach = reach.with_environment(**kept).with_settings(*_SETTINGS)
    process = reach.start(*_PUSH, "--", url.url(), refspec).finish()
    if process.status == 0:
        return
    failure = process.failure()
    raise _explained(failure, process.stdout, url, credential) if isinstance(failure, GitFailed) else failure


def _of_this_repository(name: str) -> bool:
    return name in LOCAL_ENVIRONMENT or name.startswith(("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"))


def _explained(failure: GitFailed, stdout: bytes, url: RemoteURL, credential: Credential | None) -> CodeRepoError:
    """What a push that failed means: the platform's refusal in its own words, else what any transport's failure means.

    `!<TAB>FROM:TO<TAB>[remote rejected] (REASON)`: git-push(1), --porcelain.
    """
    place = f"'{url.origin() or url.host or url.path}'"
    told = failure.stderr.decode("utf-8", "replace").splitlines()
    remarks = [text for line in told if line.startswith("remote:") and (text := line[7:].strip(" \t\x1b[K"))]
    for line in stdout.decode("utf-8", "replace").splitlines():
        if line.startswith("!\t"):
            reason = line.rpartition("\t")[2]
            reason = reason.partition("(")[2].removesuffix(")") or reason
            said = [text for text in remarks if set(text) - set("=*- ")][:3]
            return PushRefused(
                redact(f"{place} refused the reference: {reason}"), hints=[redact(f"it says: {text}") for text in said]
            )
    words = failure.stderr.decode("utf-8", "replace").lower()
    if "returned error: 403" in words:
        whose = "your git credential" if credential is None else f"the token from {credential.source}"
        hints = [redact(f"it says: {text}") for text in remarks[:3]]
        return ScopeMissing(f"{whose} may not push to {place}", hints=[*hints, "publishing needs the right to push"])
    error = explain(failure, url, credential)
    if isinstance(error, CredentialMissing):
        error.hints = (*error.hints, "publishing needs the right to push")
    return error
