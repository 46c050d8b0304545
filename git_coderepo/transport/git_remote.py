"""git as a transport to another repository, with a credential that is not in arguments or files.

A token of ours reaches git by a credential helper that is bound to the exact origin, and to the path that the token is
for, and reads the environment. Not by `http.extraHeader`: `GIT_TRACE2_CONFIG_PARAMS` prints it.
"""

from __future__ import annotations

import os

from git_coderepo.errors import (
    CodeRepoError,
    CommitMissing,
    ConnectionBroken,
    CredentialError,
    CredentialMissing,
    DownloadDamaged,
    GitFailed,
    InvalidRemoteURL,
    MethodUnavailable,
    PlatformError,
    ProtocolNotAllowed,
    PushRefused,
    RateLimited,
    ScopeMissing,
    ServerFailed,
    ServerTooOld,
    TokenRefused,
    UnexpectedAnswer,
)
from git_coderepo.git.process import LOCAL_ENVIRONMENT, Git, Process, shell_word
from git_coderepo.git.url.parse import encoded, has_dot_segment
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.trace import redact
from git_coderepo.transport.git_failures import explain
from git_coderepo.transport.http import LOOPBACK, allowed_by_environment
from git_coderepo.transport.http_failures import proxy_shown
from git_coderepo.transport.proxy import ca_bundle
from git_coderepo.transport.retry import TRIES, max_wait_hints, pause, shown_seconds, spread
from git_coderepo.transport.users_remote import pushed_to

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from git_coderepo.credentials.secret import Credential, CredentialSource
    from git_coderepo.git.objects import ObjectId
    from git_coderepo.platforms.base import BaseCodeRepository
    from git_coderepo.transport.users_remote import UsersRemote

# The words after `!` are run by sh with `get`, `store` or `erase` added: https://git-scm.com/docs/gitcredentials
_HELPER = (
    '!f() { test "$1" != get || '
    'printf "username=%s\\npassword=%s\\n" "$CODEREPO_GIT_USER" "$CODEREPO_GIT_PASSWORD"; }; f'
)
# Variables with which git, or a shell, would write a secret into a trace.
_SHELL_TRACES = ("SHELLOPTS", "BASHOPTS", "BASH_ENV", "BASH_XTRACEFD", "ENV", "PS4")
_TELLTALES = frozenset(("GIT_TRACE_REDACT", "GIT_TRACE2_ENV_VARS"))
# In the user's own repository too. A header that git is configured to send goes wherever curl follows a redirect to:
# git is not let to, see `Route.run`.
_QUIET = (
    ("core.hooksPath", "/dev/null"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("http.followRedirects", "false"),
)
_SETTINGS = (*_QUIET, ("protocol.version", "2"))
_MOST_REDIRECTS = 5
# On a runner: a server that says nothing more for so long is not waited for any longer.
_IMPATIENT = (("http.lowSpeedLimit", "1"), ("http.lowSpeedTime", "120"))
_FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")


def allowed_protocols(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the protocols that git may use on a runner: https, ssh, and those in CODEREPO_ALLOW_PROTOCOL."""
    return frozenset(("https", "ssh")) | allowed_by_environment(environment)


def check_transport(url: RemoteURL, allowed: frozenset[str]) -> None:
    """Raise ProtocolNotAllowed for a transport that is not in `allowed`, and for http to another machine."""
    name = {"local": "file"}.get(url.transport or "", url.transport or "")
    if name not in allowed:
        raise ProtocolNotAllowed(
            f"git may not use '{name}' here",
            hints=[f"if you trust it: export {_allowing(name, allowed)}"] if name.isalnum() else [],
        )
    if name == "http" and url.host not in LOOPBACK:
        raise ProtocolNotAllowed(f"'http://{url.host}' is not encrypted", hints=[f"use https://{url.host}"])


def _allowing(name: str, allowed: frozenset[str]) -> str:
    """Return the variable that allows one more protocol."""
    return f"CODEREPO_ALLOW_PROTOCOL={':'.join(sorted({name, *allowed} - {'https', 'ssh'}))}"


def credential_path(url: RemoteURL) -> str:
    """Return `/owner/repository`, with which a credential's path prefix is compared."""
    return "/" + (url.path or "").strip("/").removesuffix(".git")


def credential_for(url: RemoteURL, credentials: CredentialSource) -> Credential | None:
    """Return the credential for an https remote; None for ssh, which has keys, and for files."""
    origin = url.origin() if url.transport in ("https", "http") else None
    if origin is not None and has_dot_segment(url.path or ""):
        raise InvalidRemoteURL(f"cannot ask '{origin}': '.' or '..' in the path of a remote URL is not allowed")
    return credentials.find(origin, credential_path(url)) if origin is not None else None


def transport(
    git: Git, url: RemoteURL, credentials: CredentialSource, *, user: str | None, allowed: frozenset[str] | None
) -> Git:
    """Return git for a foreign repository, in `git`'s directory, with the credential for `url`.

    `user` goes with a credential that has no user name of its own. `allowed` are the protocols on a runner, where git's
    own helpers and askpass programs are not asked; None leaves the protocols to the user's git, and its helpers are
    asked where `credentials` has none. Raises ProtocolNotAllowed, InvalidRemoteURL for a path with dot segments, and
    CredentialError for a user name with a line break in it.
    """
    if allowed is not None:
        check_transport(url, allowed)
    return prepared(git, url, credential_for(url, credentials), user, allowed)


def prepared(
    git: Git, url: RemoteURL, credential: Credential | None, user: str | None, allowed: frozenset[str] | None
) -> Git:
    """Return git as `transport` does, but with a given credential; None lets the user's git find one."""
    base = git.foreign(git.directory if git.directory is not None else os.curdir)
    environment = {name: value for name, value in base.environment.items() if name not in _TELLTALES}
    environment.update(GIT_TERMINAL_PROMPT="0", GIT_TRACE_CURL_NO_DATA="1", GIT_NO_LAZY_FETCH="1")
    settings = [*base.settings, *_SETTINGS]
    if allowed is not None:
        environment["GIT_ALLOW_PROTOCOL"] = ":".join(sorted(allowed))
        # An askpass program, and a header for every host, would answer whomever the manifest names. Set, but empty,
        # it also keeps git from core.askPass and SSH_ASKPASS. Headers for one host (http.URL.extraHeader) stay.
        environment["GIT_ASKPASS"] = ""
        settings.append(("http.extraHeader", ""))
        settings += _IMPATIENT
    if url.transport in ("https", "http"):
        if not environment.get("GIT_SSL_CAINFO"):
            environment.pop("GIT_SSL_CAINFO", None)  # an empty one is none for the API; git would look for no file
            environment.update(_trusted_authorities(base, url))
    elif url.transport == "ssh" and not _has_terminal():
        environment.update(ssh_without_questions(base))
    if credential is not None:
        name = credential.user or user or "git"
        if set(name) & set("\r\n\0"):
            raise CredentialError(f"the user name from {credential.source} has a line break in it")
        environment.update(CODEREPO_GIT_USER=name, CODEREPO_GIT_PASSWORD=credential.secret.reveal())
        # `trace2.envVars` of the user's or system's configuration may name this variable; the environment's own list
        # wins, unless it is empty. A shell that traces what it runs would show the helper's words.
        environment["GIT_TRACE2_ENV_VARS"] = "LC_ALL"
        for each in _SHELL_TRACES:
            environment.pop(each, None)
    if credential is not None or allowed is not None:
        # Forgets the user's own helpers: they would be asked first and told of a refusal, and on a runner, where a
        # manifest names the host, ours have been asked already, by its exact origin.
        settings.append(("credential.helper", ""))
    if credential is not None:
        settings.append((f"credential.{url.origin()}{_bound_path(url, credential)}.helper", _HELPER))
    return Git(base.directory, environment=environment, settings=settings).within(base.limit)


def _bound_path(url: RemoteURL, credential: Credential) -> str:
    """Return the path, percent-encoded, below which git may use the credential: a redirect may lead out of it.

    git matches whole names, so that `/acme/widgets` would not hold for `/acme/widgets.git`.
    """
    prefix = credential.prefix.strip("/")
    if not prefix:
        return ""
    path = (url.path or "").strip("/")
    return "/" + encoded(prefix if path.startswith(prefix + "/") else path)


def _trusted_authorities(git: Git, url: RemoteURL) -> dict[str, str]:
    """Return GIT_SSL_CAINFO if only the API's variables for it are set, so that one setting serves both."""
    bundle = ca_bundle(git.environment)
    if bundle is None or not os.path.isfile(bundle):
        return {}
    is_set = git.succeeds("config", "--get-urlmatch", "http.sslCAInfo", str(url.origin()))
    return {} if is_set else {"GIT_SSL_CAINFO": bundle}


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def ssh_without_questions(git: Git) -> dict[str, str]:
    """Return the user's ssh command, which must not prompt for passwords and unknown hosts."""
    command = git.environment.get("GIT_SSH_COMMAND")
    if command is None:
        asked = git.start("config", "--get", "core.sshCommand").finish()
        command = os.fsdecode(asked.stdout).rstrip("\n") or None
    if command is None and "GIT_SSH" in git.environment:
        return {}
    words = (command or "ssh").split()
    if not words or os.path.basename(words[0]) != "ssh":
        return {}
    return {"GIT_SSH_COMMAND": f"{command or 'ssh'} -oBatchMode=yes"}


# --- routes ----------------------------------------------------------------------------------------


class Route:
    """A way for git to reach a repository: `git` is started as it is, and `word` names the repository to it.

    `url` is for what is said about it; `credential` is the one that git was given by us, None for the user's own means.
    `is_own`: it is the user's own git in the user's own repository.
    """

    __slots__ = ("credential", "git", "is_own", "url", "word")

    def __init__(
        self, git: Git, word: str, url: RemoteURL, credential: Credential | None, *, is_own: bool = False
    ) -> None:
        self.git = git
        self.word = word
        self.url = url
        self.credential = credential
        self.is_own = is_own

    def run(self, *arguments: str, stdin: bytes | None = None, before: Sequence[str] = ()) -> Process:
        """Run a git command with `{url}` replaced by the repository; return the finished process, whatever its status.

        A redirect within the repository's origin is followed. Raises UnexpectedAnswer, naming the target, for one that
        leads to another origin.
        """
        word = self.word
        seen = {word}
        while True:
            words = [word if each == "{url}" else each for each in arguments]
            process = self.git.start(*words, stdin=stdin, before=before).finish()
            if process.status == 0 or not _is_redirected(process.stderr) or self.url.origin() is None:
                return process
            target = self._redirection(words, stdin, before)
            if target is None:
                return process
            if target.origin() != self.url.origin():
                hint = "check the URL of the remote"
                if self.is_own:
                    moved = f"{shell_word(self.word)} {shell_word(target.url())}"
                    hint = f"if the repository has moved, run: git remote set-url {moved}"
                raise UnexpectedAnswer(
                    f"'{self.url.origin()}' redirects git to '{target.origin()}'; the redirect is not followed",
                    hints=[hint],
                )
            word = target.url()
            if word in seen or len(seen) > _MOST_REDIRECTS:
                raise UnexpectedAnswer(
                    f"'{self.url.origin()}' redirects git in a circle", hints=["check the URL of the remote"]
                )
            seen.add(word)

    def proxy(self, stderr: bytes) -> str | None:
        """Return `HOST:PORT` of the proxy that git asks, where its words are about one; None where none is known."""
        if b"proxy" not in stderr.lower() and b"tunnel" not in stderr.lower():
            return None
        asked = [["--get", f"remote.{self.word}.proxy"]] if self.is_own else []
        asked.append(["--get-urlmatch", "http.proxy", str(self.url.origin())])
        for words in asked:
            told = self.git.start("config", *words).finish()
            if told.status == 0:
                return proxy_shown(os.fsdecode(told.stdout).rstrip("\n"))
        names = [f"{self.url.transport}_proxy", f"{self.url.transport}_proxy".upper(), "all_proxy", "ALL_PROXY"]
        return proxy_shown(next((self.git.environment[name] for name in names if self.git.environment.get(name)), None))

    def _redirection(self, words: Sequence[str], stdin: bytes | None, before: Sequence[str]) -> RemoteURL | None:
        """Return where the server sends git, which does not say so itself but in the trace of what it receives."""
        from urllib.parse import urljoin

        traced = self.git.with_environment(GIT_TRACE_CURL="2", GIT_TRACE_CURL_NO_DATA="1")
        stderr = traced.start(*words, stdin=stdin, before=before).finish().stderr
        told = [line.partition(b"<= Recv header:")[2].strip() for line in stderr.splitlines()]
        found = [line[9:].strip() for line in told if line[:9].lower() == b"location:"]
        if not found:
            return None
        try:
            place = urljoin(f"{self.url.url()}/info/refs", os.fsdecode(found[-1]))
            return RemoteURL.parse(place.partition("?")[0].removesuffix("/info/refs"))
        except (InvalidRemoteURL, ValueError):
            return None


def _is_redirected(stderr: bytes) -> bool:
    return b"returned error: 30" in stderr


def routes(repository: BaseCodeRepository, git: Git, command: str) -> Iterator[Route]:
    """Yield the routes for the git command `command`, in the order to try them.

    Where the user's own git reaches the repository that is the last of them: before it comes, over https, a credential
    that is kept for the platform elsewhere than with git. `git` stands in the repository into which it fetches.
    """
    own = repository.users_remote if not repository.has_own_token else None
    text = repository.git_url()
    if text is None:
        raise MethodUnavailable(f"git cannot fetch '{repository.name}'")
    url = RemoteURL.parse(text)
    if repository.protocols is not None:
        check_transport(url, repository.protocols)
    credential = credential_for(url, repository.credentials if own is None else own.credentials)
    if own is None or credential is not None:
        reach = prepared(git, url, credential, repository.git_credential_user(), repository.protocols)
        if credential is not None and command != "fetch":
            # Elsewhere than in a checkout, whose configuration may hold another credential: this one has to work.
            reach = reach.with_environment(GIT_DIR=os.devnull)
        yield Route(reach, url.url(), url, credential)
    if own is not None:
        yield own_route(own, git if command == "fetch" else None, repository.protocols)


def own_route(own: UsersRemote, into: Git | None, allowed: frozenset[str] | None) -> Route:
    """Return a route through the user's own git and remote; it fetches into the repository of `into`.

    `allowed` are the protocols on a runner, None for what the user's git allows.
    """
    git = own.git if into is None else own.git_into(os.fsdecode(into.directory or os.curdir))
    # No question: neither on the terminal nor, by Git Credential Manager, in a window.
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GCM_INTERACTIVE": "never", "GIT_NO_LAZY_FETCH": "1"}
    environment = {**git.environment, **quiet}
    settings = [*git.settings, *_QUIET]
    if allowed is not None:
        check_transport(own.url, allowed)
        environment["GIT_ALLOW_PROTOCOL"] = ":".join(sorted(allowed))
        settings += _IMPATIENT
    if own.url.transport in ("https", "http"):
        if not environment.get("GIT_SSL_CAINFO"):
            environment.pop("GIT_SSL_CAINFO", None)
            environment.update(_trusted_authorities(git, own.url))
    elif own.url.transport == "ssh" and not _has_terminal():
        environment.update(ssh_without_questions(git))
    reach = Git(git.directory, environment=environment, settings=settings).within(git.limit)
    return Route(reach, own.name, own.url, None, is_own=True)


# --- commands for any repository with a git URL -------------------------------------------


def ask(repository: BaseCodeRepository, git: Git, *arguments: str, stdin: bytes | None = None) -> bytes:
    """Run a git command against a repository, for which `{url}` stands, and explain a failure.

    Each route is tried, see `routes`; the first one that does not lead to the repository says why. Broken
    connections and failures of the server are tried again; for a rate limit, git does not know how long to wait.
    """
    failed: CodeRepoError | None = None
    for route in routes(repository, git, arguments[0]):
        try:
            return _ask_by(route, repository, *_fitting(route, arguments), stdin=stdin)
        except (CommitMissing, ServerTooOld):
            raise  # the repository was reached
        except (CredentialError, PlatformError, GitFailed) as error:
            if failed is not None:
                if error.message != failed.message:
                    failed.hints = (*failed.hints, f"your own git cannot reach the repository either: {error.message}")
                raise failed from None
            failed = error
    assert failed is not None
    raise failed


def _fitting(route: Route, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Return the arguments, and those that keep the remote's configuration from changing what is fetched."""
    if arguments[0] != "fetch" or not route.is_own:
        return arguments
    return ("fetch", "--refmap=", "--no-prune", *arguments[1:])


def _ask_by(route: Route, repository: BaseCodeRepository, *arguments: str, stdin: bytes | None) -> bytes:
    import time

    credential, origin, path = route.credential, route.url.origin(), credential_path(route.url)
    bound = _bound_to_us(route.git)
    failures, waited = 0, 0.0
    while True:
        process = route.run(*arguments, stdin=stdin, before=bound)
        if process.status == 0:
            if credential is not None and origin is not None:
                repository.credentials.accepted(origin, path, credential)
            return process.stdout
        failure = process.failure()
        error = (
            explain(failure, route.url, credential, repository.credentials, proxy=route.proxy(failure.stderr))
            if isinstance(failure, GitFailed)
            else failure
        )
        failures += 1
        delay = _delay_before_next(error, failures)
        limited = isinstance(error, RateLimited)
        if limited and delay is not None and waited + delay > repository.max_wait:
            error.hints = max_wait_hints(waited + delay)
            break
        if delay is None or (failures >= TRIES and not limited):
            break
        repository.notify(f"warning: {error.message}; asking again in {shown_seconds(delay)}")
        time.sleep(delay)
        waited += delay if limited else 0
    if isinstance(error, TokenRefused) and credential is not None and origin is not None:
        repository.credentials.refused(origin, path, credential)
    raise error


def fetch(
    repository: BaseCodeRepository,
    git: Git,
    refspecs: Sequence[str],
    *,
    depth: int | None = None,
    filter: str | None = None,
    stdin: bytes | None = None,
) -> None:
    """Fetch into the bare repository that `git` runs in, transferring as little as the server allows.

    `refspecs` are read from standard input where that is given, one a line. `depth` and `filter` (git-rev-list(1),
    `--filter`) say what is not wanted; a server that is too old for one of them sends it as well. Raises the
    errors of `explain`.
    """
    shallow = [f"--depth={depth}"] if depth is not None else []
    whole = ["--no-filter"]  # git remembers the filter of an attempt that failed; and a user's remote may have one
    partial = [f"--filter={filter}"] if filter is not None else whole
    attempts = [[*shallow, *partial]]
    attempts += [each for each in ([*shallow, *whole], whole) if each not in attempts]
    for options in attempts:
        try:
            ask(repository, git, *_FETCH, *options, *_words(refspecs, stdin), stdin=stdin)
            return
        except (ServerTooOld, GitFailed):
            if options == whole:
                raise


def _words(refspecs: Sequence[str], stdin: bytes | None) -> list[str]:
    return [*(["--stdin"] if stdin is not None else []), "--", "{url}", *refspecs]


def _bound_to_us(git: Git) -> tuple[str, ...]:
    """Return the words before a command that have the system end it when we are killed, so that it does not wait on.

    They are empty if there is no git, or no setpriv(1) with that option (util-linux, Linux only).
    """
    import shutil

    path = git.environment.get("PATH")
    words = ("setpriv", "--pdeathsig", "TERM")  # prctl(2), PR_SET_PDEATHSIG
    if any(shutil.which(name, path=path) is None for name in ("git", "setpriv")):
        return ()
    asked = git.start("--version", before=words).finish()
    return words if asked.status == 0 else ()


def _delay_before_next(error: CodeRepoError, failures: int) -> float | None:
    """Return the seconds before the next attempt; None if another attempt cannot help."""
    if isinstance(error, RateLimited):
        return spread(float(1 << failures))
    return pause(failures) if isinstance(error, ServerFailed | DownloadDamaged | ConnectionBroken) else None


def check_access(repository: BaseCodeRepository, git: Git | None = None) -> None:
    """Check that git reaches the repository. Raises the errors of `explain`."""
    ask(repository, git or Git(), "ls-remote", "--quiet", "--", "{url}", "HEAD")


def read_branches(repository: BaseCodeRepository, git: Git) -> frozenset[str]:
    """Return the branches of the repository, as `refs/heads/…`. Raises the errors of `explain`."""
    listing = ask(repository, git, "ls-remote", "--quiet", "--", "{url}", "refs/heads/*")
    names = (os.fsdecode(row.partition(b"\t")[2]) for row in listing.split(b"\n"))
    return frozenset(name for name in names if name.startswith("refs/heads/"))


def check_own_access(repository: BaseCodeRepository, own: UsersRemote) -> None:
    """Check that the user's own git reaches the repository. Raises the errors of `explain`."""
    route = own_route(own, None, repository.protocols)
    _ask_by(route, repository, "ls-remote", "--quiet", "--", "{url}", "HEAD", stdin=None)


def fetch_commit(
    repository: BaseCodeRepository, commit: ObjectId, directory: str, *, filter: str | None = "tree:0"
) -> Git:
    """Fetch one commit into a new bare repository in `directory`, with as little else as the server supports."""
    scratch = Git(directory).foreign(directory)
    scratch.run("init", "--quiet", "--bare", "--template=", f"--object-format={commit.object_format}")
    fetch(repository, scratch, [commit.hex], depth=1, filter=filter)
    return scratch.with_environment(GIT_NO_LAZY_FETCH="1")


def serves_commit(repository: BaseCodeRepository, commit: ObjectId) -> bool:
    """Return whether the server gives the commit by its id now."""
    from git_coderepo.filesystem.scratch import scratch_directory

    with scratch_directory() as directory:
        try:
            fetch_commit(repository, commit, directory)
        except CommitMissing:
            return False
    return True


# --- push -----------------------------------------------------------------------

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
    MethodUnavailable, CredentialError, and the errors of `git_failures.explain`.
    """
    text = repository.git_url()
    if text is None:
        raise MethodUnavailable(f"git cannot push to '{repository.name}'")
    url = RemoteURL.parse(text)
    try:
        _attempt(_users_route(repository, git, url), refspec, repository.credentials)
    except CredentialError as error:
        credential = credential_for(url, repository.credentials)
        if credential is None:
            raise
        user, allowed = repository.git_credential_user(), repository.protocols
        reach = _in_this_repository(prepared(git, url, credential, user, allowed), git)
        try:
            _attempt(Route(reach, url.url(), url, credential), refspec, repository.credentials)
        except CredentialError as second:
            second.hints = (*second.hints, f"your own git cannot push either: {error.message}")
            raise


def _users_route(repository: BaseCodeRepository, git: Git, url: RemoteURL) -> Route:
    """Return the user's own git: through their remote, where a push to it reaches the repository, else by the URL."""
    own = repository.users_remote
    to = pushed_to(own, git) if own is not None else None
    if own is None or to is None:
        reach = prepared(git, url, None, repository.git_credential_user(), repository.protocols)
        return Route(_in_this_repository(reach, git), url.url(), url, None)
    route = own_route(to, None, repository.protocols)
    if to.name == own.name:
        route.git = route.git.with_settings((f"remote.{own.name}.mirror", "false"))  # a mirror takes no refspec
        if _is_tracked(git, own.name):
            # A push moves the tracking reference of what it pushed, unless a negative refspec says not to; that counts
            # where another one leads to the reference itself: remote.c, query_matches_negative_refspec.
            refspecs = (f"{NAMESPACE}*:{NAMESPACE}*", f"^{NAMESPACE}*")
            route.git = route.git.with_settings(*((f"remote.{own.name}.fetch", each) for each in refspecs))
    return route


def _is_tracked(git: Git, name: str) -> bool:
    """Return whether the remote's refspecs give our references a tracking reference."""
    refspecs = git.start("config", "--null", "--get-all", f"remote.{name}.fetch").finish().stdout.split(b"\0")
    sources = (each.lstrip(b"+").partition(b":")[0].partition(b"*") for each in refspecs)
    return any(star and NAMESPACE.encode().startswith(before) for before, star, _ in sources)


def _attempt(route: Route, refspec: str, credentials: CredentialSource) -> None:
    route.git = route.git.with_settings(*_PUSH_SETTINGS)
    process = route.run(*_PUSH, "--", "{url}", refspec)
    if process.status == 0:
        return
    failure = process.failure()
    if isinstance(failure, GitFailed):
        raise _explained(failure, process.stdout, route, credentials)
    raise failure


def _in_this_repository(reach: Git, git: Git) -> Git:
    kept = {name: value for name, value in git.environment.items() if _of_this_repository(name)}
    return reach.with_environment(**kept)


def _of_this_repository(name: str) -> bool:
    return name in LOCAL_ENVIRONMENT or name.startswith(("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"))


def _explained(failure: GitFailed, stdout: bytes, route: Route, credentials: CredentialSource) -> CodeRepoError:
    """Return the error for a failed push: the platform's refusal in its own words, or else as for any transport.

    `!<TAB>FROM:TO<TAB>[remote rejected] (REASON)`: git-push(1), --porcelain.
    """
    url, credential = route.url, route.credential
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
    error = explain(failure, url, credential, credentials, proxy=route.proxy(failure.stderr))
    if isinstance(error, CredentialMissing):
        error.hints = (*error.hints, "give it the right to push, which publishing needs")
    return error
