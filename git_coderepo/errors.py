"""One tree of errors: each says what is wrong in the user's words and carries its exit status and hints as data.

The command line prints `fatal: MESSAGE` and one `hint: …` line for each hint; nothing else formats an error.
Exit statuses are those of DESIGN: 1 a negative answer, 4 a missing or refused credential, 128 fatal, 129 usage.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class CodeRepoError(Exception):
    """Whatever this project raises on purpose.

    `message` is lower case, without a full stop, names in single quotes; `hints` say what to type next.
    """

    exit_status = 128

    def __init__(self, message: str, *, hints: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hints = tuple(hints)

    def replace(self, *, message: str | None = None, hints: Iterable[str] | None = None) -> CodeRepoError:
        """Return an error of the same kind that says something else; an error that was made is not changed."""
        message = self.message if message is None else message
        other = type(self).__new__(type(self), message)
        other.__dict__.update(self.__dict__, message=message, hints=self.hints if hints is None else tuple(hints))
        return other


class UsageError(CodeRepoError):
    """The words of a command do not fit its grammar."""

    exit_status = 129


class NegativeAnswer(CodeRepoError):
    """A question was answered with no: a tree that differs, a file that is not valid."""

    exit_status = 1


# --- credentials -------------------------------------------------------------------------------


class CredentialError(CodeRepoError):
    """A credential is missing, refused or unusable."""

    exit_status = 4


class TokenRefused(CredentialError):
    """The platform answered that the credential is not valid (401)."""


class ScopeMissing(CredentialError):
    """The credential is valid, but may not do what was asked (403)."""


class CredentialMissing(CredentialError):
    """The platform wants a credential and none was found."""


class KeyringUnavailable(CredentialError):
    """There is no keyring here that keeps a secret encrypted."""


# --- git and the checkout ----------------------------------------------------------------------


class GitNotFound(CodeRepoError):
    """There is no `git` on PATH."""


class GitFailed(CodeRepoError):
    """A git command ended with a status that its caller did not expect."""

    def __init__(self, message: str, *, status: int, stderr: bytes, hints: Iterable[str] = ()) -> None:
        super().__init__(message, hints=hints)
        self.status = status
        self.stderr = stderr


class InvalidRemoteURL(CodeRepoError):
    """A text that git would not take for the URL of a remote, or that it refuses for safety."""


class InvalidObjectId(CodeRepoError):
    """Not 40 or 64 lower-case hex digits."""


class NotACheckout(CodeRepoError):
    """The directory is in no Git work tree."""


class UnknownRun(CodeRepoError):
    """A word that names no run of the record, or several."""


class OutputUnusable(CodeRepoError):
    """A FILE named for output can be neither replaced nor written to."""


class HookRefused(CodeRepoError):
    """A hook that cannot be installed beside what is there; the hints say what to add by hand."""


class NotReproducible(CodeRepoError):
    """The code cannot be recorded so that a runner could get it back; said before the run starts.

    `waived_as` is the word under which `--allow-unreproducible` records it, None where that would make the record
    false: then nothing is recorded.
    """

    def __init__(self, message: str, *, hints: Iterable[str] = (), waived_as: str | None = None) -> None:
        more = ["git coderepo run --allow-unreproducible records it as not reproducible"] if waived_as else []
        super().__init__(message, hints=[*hints, *more])
        self.waived_as = waived_as


class ChangedMeanwhile(NotReproducible):
    """A file of the checkout changed while the snapshot was taken; another attempt may succeed."""


class ObjectMissing(GitFailed, NotReproducible):
    """An object, `id` in hex, that this repository does not have: a partial clone lacks what it never needed."""

    def __init__(self, id: str, *, stderr: bytes) -> None:
        super().__init__(
            f"the object {id} is missing here",
            status=1,
            stderr=stderr,
            hints=[f"in a partial clone, this fetches it: git cat-file -e {id}"],
        )
        self.id = id


# --- registrations -----------------------------------------------------------------------------


class TooLarge(NotReproducible):
    """More would travel with the run than the limit allows, all its submodules together."""


class RegistrationError(CodeRepoError):
    """A code repository cannot be registered, found or told from another."""


class UnknownOption(UsageError):
    """An option that the platform does not declare."""


# --- platforms ---------------------------------------------------------------------------------


class PlatformError(CodeRepoError):
    """A platform did not give what was asked of it."""


class HostUnreachable(PlatformError):
    """No connection: unknown name, refused, timed out, a certificate that does not verify."""


class ConnectionBroken(HostUnreachable):
    """The other side hung up before it had answered: the next time it may not."""


class RepositoryMissing(PlatformError):
    """The platform knows no such repository, or hides it from this credential."""


class CommitMissing(PlatformError):
    """The platform no longer serves the commit."""


class RateLimited(PlatformError):
    """The platform asks to come back later."""


class UnexpectedAnswer(PlatformError):
    """An answer that the platform's documentation does not describe: HTML, a wrong type, broken JSON."""


class ServerTooOld(PlatformError):
    """The git server can only send a whole history: it supports neither depth nor object filters."""


class ServerFailed(UnexpectedAnswer):
    """The platform says that something went wrong on its own side (5xx): the next time it may not."""


class PushRefused(PlatformError):
    """The platform did not take a reference: a protected namespace, a hook that declined."""


class ProtocolNotAllowed(PlatformError):
    """A transport that rule 3 of the safety rules does not allow on a runner."""


class SourceNotAllowed(PlatformError):
    """A custom class that the runner's settings do not allow, or that cannot be imported."""


class MethodUnavailable(PlatformError):
    """A way of downloading that this platform or this machine does not have."""


class GitUnusable(MethodUnavailable):
    """There is a `git`, and no place on this machine where it could work."""


# --- the shared store --------------------------------------------------------------------------


class StoreUnavailable(CodeRepoError):
    """The shared store does not give or take what was asked of it: unreachable, not there, a package missing."""


class StoreMissing(StoreUnavailable):
    """The shared store does not have the tree."""


class StoreDamaged(StoreUnavailable):
    """What the shared store has under a tree's id is not that tree."""


class StoreRefused(CredentialError):
    """The shared store wants other credentials than it was given, or does not allow what was asked."""


# --- manifest and runner -----------------------------------------------------------------------


class InvalidManifest(CodeRepoError):
    """A run manifest that is damaged, of another major version, or breaks its schema."""


class OverlayMissing(CodeRepoError):
    """The overlay is not in the manifest, and not where it should be beside it."""


class UnsafeTree(CodeRepoError):
    """A path, mode or size in an archive, a repository or an overlay that safety rule 3 refuses."""


class LfsPointerUnusable(CodeRepoError):
    """A pointer of Git LFS that this program, or anybody without its extensions, cannot turn into the file."""


class LfsObjectMissing(PlatformError):
    """The LFS server does not have an object, or does not give it: the paths that it stands for are named."""


class DownloadDamaged(CodeRepoError):
    """What arrived is cut off, is not the format it should be, or has a wrong checksum."""


class TreeDiffers(CodeRepoError):
    """The tree id of what was materialised is not the recorded one: nothing is left behind."""


class TargetUnusable(CodeRepoError):
    """The target directory is not empty, not writable, or its file system cannot hold the tree."""


class NoSpace(TargetUnusable):
    """The file system has no space left for the tree, or the user's quota on it is used up."""
