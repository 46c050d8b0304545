"""Credentials from git's own credential helpers, by https://git-scm.com/docs/git-credential."""

from __future__ import annotations

from git_coderepo.credentials.secret import GIT_SOURCE, Credential, Secret
from git_coderepo.errors import CredentialError, GitNotFound
from git_coderepo.git.url.remote import below
from git_coderepo.trace import trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_coderepo.git.process import Git
    from git_coderepo.git.url.remote import Origin
    from git_coderepo.registration.infer import HostRule


class GitCredentials:
    """The answers of `git credential fill`, which runs once for each origin and path.

    Without git on this machine there are no credentials. Helpers receive `approve` and `reject` only for a credential
    that they gave in this process, and `reject` only after that origin answered 401. Unless `interactive`, nothing
    prompts on the terminal or opens a window.
    """

    __slots__ = ("_filled", "_refused", "_settled", "git", "rules")

    # A helper may answer for every host: see Chain.confined.
    names_no_origin = True

    def __init__(self, git: Git, rules: Sequence[HostRule] = (), *, interactive: bool = False) -> None:
        # An empty GIT_ASKPASS overrides core.askPass and SSH_ASKPASS, too. GCM_INTERACTIVE is Git Credential Manager's.
        silent = {} if interactive else {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "GCM_INTERACTIVE": "never"}
        self.git = git.with_environment(**silent)
        self.rules = tuple(rules)
        self._filled: dict[tuple[Origin, str], tuple[Credential, bytes] | None] = {}
        self._settled: set[tuple[Origin, str]] = set()
        self._refused: set[tuple[Origin, str]] = set()

    def find(self, origin: Origin, path: str) -> Credential | None:
        if origin.scheme not in ("https", "http") or (origin, path) in self._refused:
            return None
        if (origin, path) not in self._filled:
            self._filled[origin, path] = self._fill(origin, path)
        filled = self._filled[origin, path]
        return filled[0] if filled is not None else None

    def refused(self, origin: Origin, path: str, credential: Credential) -> None:
        """Have the helpers forget a credential after a 401, and never give it again."""
        self._settle("reject", origin, path, credential)
        self._refused.add((origin, path))

    def accepted(self, origin: Origin, path: str, credential: Credential) -> None:
        """Tell the helpers that they may store a credential which the origin accepted."""
        self._settle("approve", origin, path, credential)

    def _settle(self, verb: str, origin: Origin, path: str, credential: Credential) -> None:
        filled = self._filled.get((origin, path))
        if filled is None or filled[0].secret != credential.secret or (origin, path) in self._settled:
            return
        self._settled.add((origin, path))
        self.git.start("credential", verb, stdin=filled[1]).finish()

    def _fill(self, origin: Origin, path: str) -> tuple[Credential, bytes] | None:
        host = str(origin).partition("://")[2]
        request = {"protocol": origin.scheme, "host": host, "path": path.strip("/")}
        user = next((r.user for r in self.rules if r.user and r.origin == origin and below(r.prefix, path)), None)
        if user is not None:
            request["username"] = user
        for value in request.values():
            if any(char in value for char in "\r\n\0"):
                # A line break would let a URL choose the host of the request (CVE-2020-5260).
                raise CredentialError(f"cannot look up credentials for {origin}: the path contains a line break")
        lines = "".join(f"{key}={value}\n" for key, value in request.items() if value) + "\n"
        try:
            process = self.git.start("credential", "fill", stdin=lines.encode("utf-8", "surrogateescape")).finish()
        except GitNotFound:
            trace(f"no credential for {origin} from git: git is not installed")
            return None
        if process.status != 0:
            trace(f"git has no credential for {origin}")
            return None
        answer = _parse(process.stdout)
        if (answer.get("protocol"), answer.get("host", "").lower()) != (origin.scheme, host.lower()):
            trace(f"the answer of a credential helper is ignored: it is for another host than {origin}")
            return None
        password = answer.get("password")
        if not password:
            return None
        credential = Credential(Secret(password), user=answer.get("username") or None, source=GIT_SOURCE)
        return credential, process.stdout


def _parse(output: bytes) -> dict[str, str]:
    """Return the `key=value` lines of an answer, with the first value of each key."""
    values: dict[str, str] = {}
    for line in output.decode("utf-8", "surrogateescape").split("\n"):
        key, equals, value = line.partition("=")
        if equals:
            values.setdefault(key, value)
    return values
