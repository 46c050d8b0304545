"""What git's own credential helpers know: https://git-scm.com/docs/git-credential."""

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
    """`git credential fill`, asked once for an origin and path.

    Where there is no git, this source has no credentials. Helpers hear `approve` and `reject` only about what they
    gave in this process, `reject` only after that origin's own 401. Unless `interactive`, nothing asks on the terminal
    or opens a window.
    """

    __slots__ = ("_filled", "_refused", "_settled", "git", "rules")

    # A helper may answer for any host that it is asked about: see Chain.confined.
    names_no_origin = True

    def __init__(self, git: Git, rules: Sequence[HostRule] = (), *, interactive: bool = False) -> None:
        # An empty GIT_ASKPASS also keeps git from core.askPass and SSH_ASKPASS; GCM_INTERACTIVE is the manager's own.
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
        """The origin answered 401: the helpers forget it, and it is not given again."""
        self._settle("reject", origin, path, credential)
        self._refused.add((origin, path))

    def accepted(self, origin: Origin, path: str, credential: Credential) -> None:
        """The origin took it: the helpers may keep it."""
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
                # A line break would let a URL choose the host that is asked about (CVE-2020-5260).
                raise CredentialError(f"no credential is asked for a path of {origin} that holds a line break")
        question = "".join(f"{key}={value}\n" for key, value in request.items() if value) + "\n"
        try:
            process = self.git.start("credential", "fill", stdin=question.encode("utf-8", "surrogateescape")).finish()
        except GitNotFound:
            trace(f"no git to ask for a credential for {origin}")
            return None
        if process.status != 0:
            trace(f"git has no credential for {origin}")
            return None
        answer = _parse(process.stdout)
        if (answer.get("protocol"), answer.get("host", "").lower()) != (origin.scheme, host.lower()):
            trace(f"a credential helper answered for another host than {origin}: passed over")
            return None
        password = answer.get("password")
        if not password:
            return None
        credential = Credential(Secret(password), user=answer.get("username") or None, source=GIT_SOURCE)
        return credential, process.stdout


def _parse(output: bytes) -> dict[str, str]:
    """The `key=value` lines of an answer; the first value of each key."""
    values: dict[str, str] = {}
    for line in output.decode("utf-8", "surrogateescape").split("\n"):
        key, equals, value = line.partition("=")
        if equals:
            values.setdefault(key, value)
    return values
