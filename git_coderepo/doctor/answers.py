"""The answers of servers, credential sources and the keyring, all asked at once and within a time limit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from git_coderepo.credentials import keyring
from git_coderepo.credentials.secret import Credential
from git_coderepo.doctor.bounded import gather
from git_coderepo.doctor.place import CheckedPlace
from git_coderepo.errors import CodeRepoError, MethodUnavailable
from git_coderepo.git.objects import ObjectId
from git_coderepo.git.url.remote import Origin
from git_coderepo.platforms.ask_api_or_git import Asking
from git_coderepo.platforms.hosted import HostedRepository, TokenFacts
from git_coderepo.registration.resolve import CodeSource
from git_coderepo.registration.secret_options import credential_home, is_custom
from git_coderepo.stores.shared_store import SharedStore
from git_coderepo.transport.git_remote import read_branches

# An id that no tree has: a store that can be read answers that it does not have it.
_NO_TREE = ObjectId("0" * 39 + "1")


class PlatformAnswer(NamedTuple):
    """What a platform says of a code repository: `origin` is None where it needs no credential.

    `source` names the source of the credential, None without one. `asked` says whether the platform was asked; then
    `problem` is why it refused, and `facts` what it says of the token, None where it has no API.
    """

    origin: Origin | None
    source: str | None
    asked: bool = False
    problem: CodeRepoError | None = None
    facts: TokenFacts | None = None


class Answers(NamedTuple):
    """The answers of servers, keyring and store; `access` and `git` map `CheckedRepository.path` to an answer or error.

    A value of `git` holds the branches of the remote, as `refs/heads/…`, and is None where there is no git URL. Without
    network (`is_offline`), `git` is empty and `store` is None. `keyring` is the number of its entries in use.
    """

    is_offline: bool
    access: dict[bytes, PlatformAnswer | CodeRepoError]
    git: dict[bytes, frozenset[str] | CodeRepoError | None]
    keyring: int | CodeRepoError
    store: bool | CodeRepoError | None


class Known(NamedTuple):
    """What the checks are given. `now` is this machine's clock in seconds since the epoch."""

    place: CheckedPlace
    answers: Answers
    now: float


def ask(place: CheckedPlace, seconds: float, *, offline: bool) -> Answers:
    """Ask all of them at once, and wait at most so many seconds."""
    sources = {part.path: part.source for part in place.parts if part.source is not None}
    questions: dict[tuple[str, bytes], Callable[[], object]] = {("keyring", b""): partial(_keyring, place)}
    for path, source in sources.items():
        questions["access", path] = partial(_access, source, offline=offline)
        if not offline:
            questions["git", path] = partial(_reach, source, place)
    if not offline and place.settings.text("store"):
        questions["store", b""] = partial(_store, place)
    answers = gather(questions, seconds)
    entries, store = answers["keyring", b""], answers.get(("store", b""))
    return Answers(
        is_offline=offline,
        access={
            path: answer
            for (kind, path), answer in answers.items()
            if kind == "access" and isinstance(answer, PlatformAnswer | CodeRepoError)
        },
        git={
            path: answer if isinstance(answer, frozenset | CodeRepoError) else None
            for (kind, path), answer in answers.items()
            if kind == "git"
        },
        keyring=entries if isinstance(entries, int | CodeRepoError) else 0,
        store=store if isinstance(store, bool | CodeRepoError) else None,
    )


def _access(source: CodeSource, *, offline: bool) -> PlatformAnswer:
    """Return what the platform says of the credential that a run would use. Raises RegistrationError."""
    repository = source.platform()
    try:
        home = None if is_custom(repository) else credential_home(repository)
        credential: Credential | None = repository.credentials.find(*home) if home is not None else None
        access = PlatformAnswer(
            home[0] if home is not None else None, credential.source if credential is not None else None
        )
        if offline:
            return access
        facts = None
        try:
            Asking(repository).login()
            if isinstance(repository, HostedRepository):
                facts = repository.token_facts()
        except CodeRepoError as error:
            return access._replace(asked=True, problem=error)
        return access._replace(asked=True, facts=facts)
    finally:
        repository.close()


def _reach(source: CodeSource, place: CheckedPlace) -> frozenset[str] | None:
    """Return the branches that git lists, with a credential of ours or by the user's own means."""
    try:
        return read_branches(source.platform(), source.git if source.remote is not None else place.git)
    except MethodUnavailable:
        return None  # a custom class without a git URL


def _keyring(place: CheckedPlace) -> int:
    """Read every entry of the keyring that is listed, as a run may. Raises KeyringUnavailable."""
    keyring.backends()
    entries = [keyring.KeyringEntry.parse(text) for text in place.settings.configured(keyring.LIST)]
    for entry in entries:
        keyring.read(keyring.service(entry.origin), entry.prefix)
    return len(entries)


def _store(place: CheckedPlace) -> bool:
    """Ask the shared store for a tree that it does not have. Raises UsageError, StoreUnavailable, StoreRefused."""
    store = SharedStore.of(place.settings)
    return store is not None and not store.has(_NO_TREE)
