"""All errors of the package, with a message for the user, hints and an exit status.

The command line prints `fatal: MESSAGE` and a line `hint: …` for each hint; no other module formats errors.
Exit statuses: 1 for a negative answer, 4 for a missing or refused credential, 128 for fatal errors, 129 for usage.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class CodeRepoError(Exception):
    """Base class of all errors that this package raises.

    `message` is in lower case, without a full stop, with names in single quotes. `hints` say what to type next.
    """

    exit_status = 128

    def __init__(self, message: str, *, hints: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hints = tuple(hints)

    def replace(self, *, message: str | None = None, hints: Iterable[str] | None = None) -> CodeRepoError:
        """Return a copy of this error with another message or other hints."""
        message = self.message if message is None else message
        other = type(self).__new__(type(self), message)
        other.__dict__.update(self.__dict__, message=message, hints=self.hints if hints is None else tuple(hints))
        return other


class UsageError(CodeRepoError):
    """The command line or a setting is invalid."""

    exit_status = 129


class NegativeAnswer(CodeRepoError):
    """A check failed: a tree differs, or a file is invalid."""

    exit_status = 1


# --- credentials -------------------------------------------------------------------------------


class CredentialError(CodeRepoError):
    """A credential is missing, refused or unusable."""

    exit_status = 4


class TokenRefused(CredentialError):
    """The platform refused the credential as invalid (401)."""


class ScopeMissing(CredentialError):
    """The credential is valid but lacks a permission (403)."""


class CredentialMissing(CredentialError):
    """The platform requires a credential, and none was found."""


class KeyringUnavailable(CredentialError):
    """This machine has no keyring that encrypts secrets."""


# --- git and the checkout ----------------------------------------------------------------------


class GitNotFound(CodeRepoError):
    """There is no `git` on PATH."""


class NoAnswer(CodeRepoError):
    """A command, a server or a keyring did not answer within the time limit."""


class GitFailed(CodeRepoError):
    """A git command failed with an unexpected exit status."""

    def __init__(self, message: str, *, status: int, stderr: bytes, hints: Iterable[str] = ()) -> None:
        super().__init__(message, hints=hints)
        self.status = status
        self.stderr = stderr


class InvalidRemoteURL(CodeRepoError):
    """A remote URL that git does not accept or refuses for safety."""


class InvalidObjectId(CodeRepoError):
    """An object id that does not consist of 40 or 64 lower-case hex digits."""


class NotACheckout(CodeRepoError):
    """The directory is not in a Git work tree."""


class UnknownRun(CodeRepoError):
    """No recorded run, or more than one, has this id or name."""


class NoRecord(UnknownRun):
    """RUN is not a file, and the current directory is not in a repository that could have recorded it."""


class OutputUnusable(CodeRepoError):
    """An output file cannot be written."""


class HookRefused(CodeRepoError):
    """A hook cannot be installed beside an existing hook; the hints say what to add by hand."""


class NotReproducible(CodeRepoError):
    """The code cannot be recorded so that a runner could fetch it. Raised before the run starts.

    `waived_as` is the reason that `--allow-unreproducible` records in the manifest. None means that the manifest
    would be false; then no run is recorded.
    """

    def __init__(self, message: str, *, hints: Iterable[str] = (), waived_as: str | None = None) -> None:
        more = ["to record it as not reproducible: git coderepo run --allow-unreproducible"] if waived_as else []
        super().__init__(message, hints=[*hints, *more])
        self.waived_as = waived_as


class ChangedMeanwhile(NotReproducible):
    """The checkout changed while the snapshot was taken; another attempt can succeed."""


class ObjectMissing(GitFailed, NotReproducible):
    """This repository lacks the object `id` (hex), for example because it is a partial clone."""

    def __init__(self, id: str, *, stderr: bytes) -> None:
        super().__init__(
            f"object {id} not found in this repository",
            status=1,
            stderr=stderr,
            hints=[f"to fetch it in a partial clone: git cat-file -e {id}"],
        )
        self.id = id


# --- registrations -----------------------------------------------------------------------------


class TooLarge(NotReproducible):
    """The overlays of a run, including its submodules, exceed the limit."""


class RegistrationError(CodeRepoError):
    """A code repository cannot be registered, is not found, or is ambiguous."""


class UnknownOption(UsageError):
    """An option that the platform does not declare."""


# --- platforms ---------------------------------------------------------------------------------


class PlatformError(CodeRepoError):
    """A request to a platform failed."""


class HostUnreachable(PlatformError):
    """Cannot connect: unknown host name, connection refused, timeout, or invalid certificate."""


class ConnectionBroken(HostUnreachable):
    """The server closed the connection without an answer; another attempt can succeed."""


class RepositoryMissing(PlatformError):
    """The repository does not exist on the platform, or the credential has no access to it."""


class CommitMissing(PlatformError):
    """The platform no longer serves the commit."""


class RateLimited(PlatformError):
    """The platform limits requests and asks to try again later."""


class UnexpectedAnswer(PlatformError):
    """The platform returned an undocumented response: HTML, a wrong content type, or invalid JSON."""


class ServerTooOld(PlatformError):
    """The git server supports neither `--depth` nor `--filter`, so that the whole history would be fetched."""


class ServerFailed(UnexpectedAnswer):
    """The platform reported an internal error (5xx); another attempt can succeed."""


class PushRefused(PlatformError):
    """The platform refused to update a reference, for example because it is protected."""


class ProtocolNotAllowed(PlatformError):
    """The protocol is not allowed on a runner (rule 3 in docs/design/safety.md)."""


class SourceNotAllowed(PlatformError):
    """The runner does not allow a custom class, or cannot import it."""


class MethodUnavailable(PlatformError):
    """A source is not available on this platform or machine."""


class GitUnusable(MethodUnavailable):
    """`git` is installed but cannot run, for example without a writable directory."""


# --- the shared store --------------------------------------------------------------------------


class StoreUnavailable(CodeRepoError):
    """The shared store cannot be read or written: not found, not reachable, or a package is missing."""


class StoreMissing(StoreUnavailable):
    """The shared store does not have the tree."""


class StoreDamaged(StoreUnavailable):
    """An object in the shared store does not have the tree id of its name."""


class StoreRefused(CredentialError):
    """The shared store refused the credentials, or they lack a permission."""


# --- manifest and runner -----------------------------------------------------------------------


class InvalidManifest(CodeRepoError):
    """A run manifest is damaged, violates its schema, or has another major version."""


class OverlayMissing(CodeRepoError):
    """The overlay is neither in the manifest nor beside it."""


class UnsafeTree(CodeRepoError):
    """An archive, repository or overlay has a path, mode or size that rule 3 (docs/design/safety.md) forbids."""


class LfsPointerUnusable(CodeRepoError):
    """A Git LFS pointer is malformed or uses extensions."""


class LfsObjectMissing(PlatformError):
    """The Git LFS server does not have or does not return an object; the message names its paths."""


class DownloadDamaged(CodeRepoError):
    """A download is incomplete, has the wrong format or has the wrong checksum."""


class TreeDiffers(CodeRepoError):
    """The fetched tree does not match the recorded tree id; nothing is left behind."""


class TargetUnusable(CodeRepoError):
    """The target directory is not empty, not writable, or its file system cannot hold the tree."""


class NoSpace(TargetUnusable):
    """The file system is full, or the user's disk quota is exceeded."""
