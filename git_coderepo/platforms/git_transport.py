"""git as a transport: to another repository, with a credential that neither arguments nor files show.

The token reaches git by a credential helper that is bound to the exact origin and reads the environment. Not by
`http.extraHeader`: `GIT_TRACE2_CONFIG_PARAMS` prints it.
"""

from __future__ import annotations

import os

from git_coderepo.errors import (
    CodeRepoError,
    CommitMissing,
    ConnectionBroken,
    CredentialError,
    DownloadDamaged,
    GitFailed,
    InvalidRemoteURL,
    MethodUnavailable,
    ProtocolNotAllowed,
    RateLimited,
    ServerFailed,
    TokenRefused,
)
from git_coderepo.git import Git
from git_coderepo.platforms.git_words import explain
from git_coderepo.urls import RemoteURL
from git_coderepo.urltext import encoded, has_dot_segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from git_coderepo.credential import Credential, CredentialSource
    from git_coderepo.objects import ObjectId
    from git_coderepo.platforms.base import BaseCodeRepository

# The words after `!` are run by sh with `get`, `store` or `erase` added: https://git-scm.com/docs/gitcredentials
_HELPER = (
    '!f() { test "$1" != get || '
    'printf "username=%s\\npassword=%s\\n" "$CODEREPO_GIT_USER" "$CODEREPO_GIT_PASSWORD"; }; f'
)
# What would have git write a secret into its trace: undone headers, and the variables that carry the password.
_TELLTALES = frozenset(("GIT_TRACE_REDACT", "GIT_TRACE2_ENV_VARS"))
_SETTINGS = (
    ("core.hooksPath", "/dev/null"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("protocol.version", "2"),
    ("http.followRedirects", "initial"),
)


def allowed_protocols(environment: Mapping[str, str]) -> frozenset[str]:
    """What git may speak on a runner: https, ssh, and the names in CODEREPO_ALLOW_PROTOCOL."""
    from git_coderepo.platforms.http import allowed_by_environment

    return frozenset(("https", "ssh")) | allowed_by_environment(environment)


def check_transport(url: RemoteURL, allowed: frozenset[str]) -> None:
    """Raises ProtocolNotAllowed for a transport that is not in `allowed`, and for http to another machine."""
    from git_coderepo.platforms.http import LOOPBACK

    name = {"local": "file"}.get(url.transport or "", url.transport or "")
    if name not in allowed:
        raise ProtocolNotAllowed(
            f"git may not use '{name}' here",
            hints=[f"CODEREPO_ALLOW_PROTOCOL={name} allows it"] if name.isalnum() else [],
        )
    if name == "http" and url.host not in LOOPBACK:
        raise ProtocolNotAllowed(f"'http://{url.host}' is not encrypted", hints=[f"use https://{url.host}"])


def credential_path(url: RemoteURL) -> str:
    """What a credential's path prefix is held against: `/owner/repository`."""
    return "/" + (url.path or "").strip("/").removesuffix(".git")


def credential_for(url: RemoteURL, credentials: CredentialSource) -> Credential | None:
    """The credential for an https remote; ssh has keys, files have permissions."""
    origin = url.origin() if url.transport in ("https", "http") else None
    if origin is not None and has_dot_segment(url.path or ""):
        raise InvalidRemoteURL(f"cannot ask '{origin}': '.' or '..' in the path of a remote URL is not allowed")
    return credentials.find(origin, credential_path(url)) if origin is not None else None


def transport(
    git: Git, url: RemoteURL, credentials: CredentialSource, *, user: str | None, allowed: frozenset[str] | None
) -> Git:
    """git for a foreign repository, in `git`'s directory, that may talk to `url` and knows its credential.

    `user` goes with a credential that has no user name of its own. `allowed` are the protocols on a runner, where no
    other source of credentials is asked than `credentials`; None leaves both to the user's git. Raises
    ProtocolNotAllowed, and CredentialError for a user name with a line break in it.
    """
    if allowed is not None:
        check_transport(url, allowed)
    return prepared(git, url, credential_for(url, credentials), user, allowed)


def prepared(
    git: Git, url: RemoteURL, credential: Credential | None, user: str | None, allowed: frozenset[str] | None
) -> Git:
    """What `transport` gives, with a credential that was found already; None leaves it to the user's git."""
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
        # A server that says nothing more for so long is not waited for any longer.
        settings += [("http.lowSpeedLimit", "1"), ("http.lowSpeedTime", "120")]
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
    if credential is not None or allowed is not None:
        # Forgets the user's own helpers: they would be asked first and told of a refusal, and on a runner, where a
        # manifest names the host, ours have been asked already, by its exact origin.
        settings.append(("credential.helper", ""))
    if credential is not None:
        settings.append((f"credential.{url.origin()}{_bound_path(url, credential)}.helper", _HELPER))
    return Git(base.directory, environment=environment, settings=settings)


def _bound_path(url: RemoteURL, credential: Credential) -> str:
    """The path, percent-encoded, below which git may use the credential: a redirect may lead out of it.

    git matches whole names, so that `/acme/widgets` would not hold for `/acme/widgets.git`.
    """
    prefix = credential.prefix.strip("/")
    if not prefix:
        return ""
    path = (url.path or "").strip("/")
    return "/" + encoded(prefix if path.startswith(prefix + "/") else path)


def _trusted_authorities(git: Git, url: RemoteURL) -> dict[str, str]:
    """GIT_SSL_CAINFO where only the API's names for it are set: one setting serves both."""
    from git_coderepo.platforms.way import ca_bundle

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
    """The user's own ssh command, told not to ask for passwords and unknown hosts."""
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


# --- questions that any platform with a git URL can ask -------------------------------------------


def ask(repository: BaseCodeRepository, git: Git, *arguments: str, stdin: bytes | None = None) -> bytes:
    """Run a git command against a repository's git URL, which stands for `{url}`; failures explained.

    What broke off or failed on the other side is tried again, and a limit waited for, which git tells no time of.
    """
    import time

    from git_coderepo.platforms.patience import TRIES, max_wait_hint, shown_seconds

    text = repository.git_url()
    if text is None:
        raise MethodUnavailable(f"git cannot fetch '{repository.name}'")
    url = RemoteURL.parse(text)
    if repository.protocols is not None:
        check_transport(url, repository.protocols)
    credential = credential_for(url, repository.credentials)
    reach = prepared(git, url, credential, repository.git_credential_user(), repository.protocols)
    words = [url.url() if word == "{url}" else word for word in arguments]
    origin = url.origin()
    bound = _bound_to_us(reach)
    failures, waited = 0, 0.0
    while True:
        process = reach.start(*words, stdin=stdin, before=bound).finish()
        if process.status == 0:
            if credential is not None and origin is not None:
                repository.credentials.accepted(origin, credential_path(url), credential)
            return process.stdout
        failure = process.failure()
        error = explain(failure, url, credential) if isinstance(failure, GitFailed) else failure
        failures += 1
        delay = _delay_before_next(error, failures)
        limited = isinstance(error, RateLimited)
        if limited and delay is not None and waited + delay > repository.max_wait:
            error.hints = (max_wait_hint(waited + delay),)
            break
        if delay is None or (failures >= TRIES and not limited):
            break
        repository.notify(f"warning: {error.message}; asking again in {shown_seconds(delay)}")
        time.sleep(delay)
        waited += delay if limited else 0
    if isinstance(error, TokenRefused) and credential is not None and origin is not None:
        repository.credentials.refused(origin, credential_path(url), credential)
    raise error


def _bound_to_us(git: Git) -> tuple[str, ...]:
    """The words that have the system end a command when we are killed: it would go on waiting for the server.

    None where the system has no setpriv(1) that can (util-linux, Linux alone), or no git.
    """
    import shutil

    path = git.environment.get("PATH")
    words = ("setpriv", "--pdeathsig", "TERM")  # prctl(2), PR_SET_PDEATHSIG
    if any(shutil.which(name, path=path) is None for name in ("git", "setpriv")):
        return ()
    asked = git.start("--version", before=words).finish()
    return words if asked.status == 0 else ()


def _delay_before_next(error: CodeRepoError, failures: int) -> float | None:
    """The seconds after which the same question may get another answer; None where it would not."""
    from git_coderepo.platforms.patience import pause, spread

    if isinstance(error, RateLimited):
        return spread(float(1 << failures))
    return pause(failures) if isinstance(error, ServerFailed | DownloadDamaged | ConnectionBroken) else None


def check_access(repository: BaseCodeRepository, git: Git | None = None) -> None:
    """Whether git reaches the repository; raises what `explain` says."""
    ask(repository, git or Git(), "ls-remote", "--quiet", "--", "{url}", "HEAD")


def fetch_commit(
    repository: BaseCodeRepository, commit: ObjectId, directory: str, *, filter: str | None = "tree:0"
) -> Git:
    """Fetch one commit into a new bare repository in `directory`, with as little else as the server can do."""
    scratch = Git(directory).foreign(directory)
    scratch.run("init", "--quiet", "--bare", "--template=", f"--object-format={commit.object_format}")
    less = [f"--filter={filter}"] if filter else []
    ask(
        repository,
        scratch,
        "fetch",
        "--quiet",
        "--depth=1",
        "--no-tags",
        "--no-write-fetch-head",
        *less,
        "--",
        "{url}",
        commit.hex,
    )
    return scratch.with_environment(GIT_NO_LAZY_FETCH="1")


def serves_commit(repository: BaseCodeRepository, commit: ObjectId) -> bool:
    """Whether the server gives the commit by its id now."""
    from git_coderepo.scratch_directory import scratch_directory

    with scratch_directory() as directory:
        try:
            fetch_commit(repository, commit, directory)
        except CommitMissing:
            return False
    return True
