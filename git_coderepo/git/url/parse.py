"""From the text of a URL to its parts: pure, by hand, in time linear in the text.

git's reading: `connect.c:parse_connect_url` (ssh, scp-like, git, file, local), `transport.c:transport_get` (helpers),
`credential.c:credential_from_url` (http); https://git-scm.com/docs/git-clone#_git_urls. Where git would go on with a
host, port or path that cannot be meant, the URL is refused. Whatever is refused, InvalidRemoteURL never repeats the
text, since it may hold a secret.
"""

from __future__ import annotations

from git_coderepo.errors import InvalidRemoteURL

TYPE_CHECKING = False
if TYPE_CHECKING:
    # transport, user, host as written, port, path, (owner, repository), whether a secret was there
    Parts = tuple[str, str | None, str | None, int | None, str | None, tuple[str | None, str | None], bool]

WEB = frozenset(("https", "http", "ftp", "ftps"))
SSH_SCHEMES = frozenset(("ssh", "git+ssh", "ssh+git"))

_HEX = frozenset(b"0123456789abcdefABCDEF")
_IPV6 = frozenset("0123456789abcdef:.")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/+")
_NOT_IN_HOST = frozenset(" \"!#$%&'()*/:;<>?@[\\]^`{|}")
# ssh puts the user's name and the host into commands of its configuration, such as ProxyCommand (CVE-2023-51385). What
# OpenSSH 9.6 refuses in a name is refused here, whatever ssh there is, and `$` and spaces as well.
_NOT_IN_USER = frozenset(" \"$&'();<>`{|}/[]")
# A user name that begins so is a token by its platform's documents, with or without a password beside it.
_TOKEN_PREFIXES = (
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "glcbt-",
    "hf_",
    "ATBB",
    "ATCTT",
)
_GITHUB_PAGES = frozenset(
    ("tree", "blob", "raw", "blame", "edit", "commit", "commits", "compare", "branches", "tags", "pull", "pulls")
    + ("issues", "releases", "actions", "wiki", "projects", "discussions", "security", "settings", "archive")
)
# Below what people put a Bitbucket Server; elsewhere `scm` is a name like any other: git.kernel.org/pub/scm.
_BITBUCKET_CONTEXTS = frozenset(("bitbucket", "stash", "git"))
# Helpers to which an address is a command or a descriptor: git-remote-ext(1), git-remote-fd(1).
_COMMANDS = frozenset(("ext", "fd"))


# --- the forms of a URL ------------------------------------------------------------------------


def read_url(text: str, windows: bool = False) -> Parts:
    """The parts of a URL or path, as `RemoteURL.parse` describes them; raises InvalidRemoteURL."""
    text = safe(text)
    length = scheme_length(text)
    scheme, rest = text[:length], text[length:]
    if rest.startswith("::"):
        return _opaque(scheme, rest[2:])
    if length and rest.startswith("://"):
        return _by_scheme(scheme, rest[3:], windows)
    if "://" in text:
        raise InvalidRemoteURL("a remote URL with a protocol that git does not know")
    if scheme == "rsync" and rest.startswith(":"):
        raise InvalidRemoteURL("git no longer takes a remote over rsync")
    colon, slash = text.find(":"), text.find("/")
    if colon < 0 or 0 <= slash < colon or (windows and has_drive(text)):
        return _local("local", text, windows)
    return _over_network("ssh", text, ":")


def _by_scheme(scheme: str, rest: str, windows: bool) -> Parts:
    """`SCHEME://REST`."""
    if scheme in SSH_SCHEMES:
        return _over_network("ssh", decoded(rest), "/")
    if scheme == "git":
        return _over_network("git", decoded(rest), "/")
    if scheme == "file":
        rest = decoded(rest)
        if windows and has_drive(rest):
            return _local("file", rest, windows)
        if windows and not rest.startswith("/"):
            return _local("file", "//" + rest, windows)
        start = rest.find("/")
        if start < 0:
            raise InvalidRemoteURL("a file URL without a path", hints=["write file:///absolute/path"])
        # git takes no notice of a host here.
        return _local("file", rest[start:], windows, bracketed=bracket_end(rest) > 0)
    if scheme in WEB:
        return _web(scheme, rest)
    # git looks for `git-remote-SCHEME`. Those that are a web URL in all but name are read as one.
    if scheme.lower() in WEB:
        return _web(f"helper:{scheme}", rest)
    if scheme in ("git+https", "git+http"):
        # pip's form, VCS+PROTOCOL://HOST/PATH@REVISION#FRAGMENT: https://pip.pypa.io/en/stable/topics/vcs-support/
        place, slash, path = rest[: first_of(rest, "?#")].partition("/")
        return _web(f"helper:{scheme}", place + slash + (path.rpartition("@")[0] or path), secret="?" in rest)
    return _opaque(scheme, f"{scheme}://{rest}")


def _web(transport: str, rest: str, *, secret: bool = False) -> Parts:
    """`[USER[:PASSWORD]@]HOST[:PORT]/PATH[?QUERY][#FRAGMENT]`, RFC 3986."""
    end = first_of(rest, "/?#")
    userinfo, at, authority = rest[:end].rpartition("@")
    if "@" in userinfo or "\\" in userinfo:  # git and curl would each see another host
        raise InvalidRemoteURL(
            "a remote URL with two '@' or a '\\' before its host", hints=["write '@' in a name as %40"]
        )
    host, port = split_host(authority)
    name, colon, _ = userinfo.partition(":")
    user = decoded(name) if at else None
    raw_path = rest[end : first_of(rest, "?#")]
    if "%00" in raw_path:
        raise InvalidRemoteURL("a remote URL with a NUL byte in it")
    path = decoded(raw_path).rstrip("/")
    segments = path.split("/")
    if not path or "." in segments or ".." in segments:
        what = "with '.' or '..' in its path" if path else "without a repository in it"
        raise InvalidRemoteURL(f"a remote URL {what}")
    secret = secret or bool(colon) or "?" in rest[end:] or (user or "").startswith(_TOKEN_PREFIXES)
    names = names_in(lower(host), path, web=True)
    return transport, user, host, port, path, names, secret


def _over_network(transport: str, rest: str, separator: str) -> Parts:
    """`HOST SEPARATOR PATH` for ssh and git, already decoded: as git does it, odd corners included."""
    where = rest.find(separator, bracket_end(rest))
    if where < 0:
        raise InvalidRemoteURL("a remote URL without a path")
    path = rest[where + 1 :] if separator == ":" else rest[where:]
    if path.encode("utf-8", "surrogateescape")[1:2] == b"~":  # git counts bytes
        path = path[1:]  # ssh://host/~user/x asks for ~user/x
    if path.startswith("-"):
        raise InvalidRemoteURL("a remote URL whose path starts with a dash")
    if "@[" in path:
        raise InvalidRemoteURL("git itself misreads a path with '@[' in it")  # written otherwise, it is a host to git
    if not path.strip("/"):
        raise InvalidRemoteURL("a remote URL without a repository in it")
    destination, port = split_destination(rest[:where])
    userinfo, at, host = destination.rpartition("@")
    user, colon, _ = userinfo.partition(":")
    if at and transport == "git":
        raise InvalidRemoteURL("a git:// URL takes no user name")
    if at and transport == "ssh" and not _is_safe_user(user):
        raise InvalidRemoteURL("a remote URL with a user name that ssh does not take")
    names = names_in(lower(checked_host(host)), path, web=False)
    return transport, user if at else None, host, port, path, names, bool(colon)


def _is_safe_user(user: str) -> bool:
    """Return whether ssh can be given the user name, and no shell would see more in it; `DOMAIN\\name` is one."""
    if not user or user.startswith("-") or user.endswith("\\"):
        return False
    return _NOT_IN_USER.isdisjoint(user) and not any(char.isspace() for char in user)


def _local(transport: str, path: str, windows: bool, *, bracketed: bool = False) -> Parts:
    if path.startswith("-"):
        raise InvalidRemoteURL("a path that starts with a dash", hints=["write './' before it"])
    if bracketed or bracket_end(path) > 0:
        raise InvalidRemoteURL("git itself misreads a path with a bracket at its start or after '@'")
    plain = (path.replace("\\", "/") if windows else path).rstrip("/")
    if windows and has_drive(plain):
        plain = plain[2:]
    parts = [part for part in plain.split("/") if part]
    if parts and parts[-1] == ".git":
        parts.pop()
    name = parts[-1].removesuffix(".git") if parts else ""
    return transport, None, None, None, path, (None, None if name in ("", ".", "..") else name), False


def _opaque(helper: str, address: str) -> Parts:
    """The address for a remote helper that is not known: whole, unless it may hold a secret."""
    if not helper or not address or address.startswith("-"):
        raise InvalidRemoteURL("a remote helper's URL without a protocol or an address")
    if helper in _COMMANDS:
        raise InvalidRemoteURL(f"a remote URL of '{helper}::', which runs a command or reads a descriptor")
    secret = "?" in address
    for piece in address.split("://"):
        userinfo = piece.rpartition("@")[0]
        secret = secret or ":" in userinfo or userinfo.startswith(_TOKEN_PREFIXES)
    repository = None
    if helper == "codecommit":  # [REGION]://[PROFILE@]REPOSITORY: github.com/aws/git-remote-codecommit
        repository = address.rpartition("://")[2].rpartition("@")[2] or None
    path = None if secret else address
    return f"helper:{helper}", None, None, None, path, (None, repository), secret


def is_known_scheme(scheme: str) -> bool:
    """Whether `SCHEME://…` is read in parts here, and not left whole to a remote helper."""
    return scheme in SSH_SCHEMES or scheme.lower() in WEB or scheme in ("git", "file", "git+https", "git+http")


# --- parts -------------------------------------------------------------------------------------


def safe(text: str) -> str:
    """The text, if it is one that bytes can stand for and without control characters (CVE-2020-5260)."""
    try:
        text = text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidRemoteURL("a remote URL that is no text") from None
    if not text:
        raise InvalidRemoteURL("an empty remote URL")
    if not text.isprintable() and any(char < " " or "\x7f" <= char < "\xa0" or char in "\u2028\u2029" for char in text):
        raise InvalidRemoteURL("a remote URL with a line break or another control character in it")
    return text


def decoded(text: str) -> str:
    """Percent-decoded as git's `url_decode` does: once, `%00` and what is no hex left as they stand."""
    if "%" not in text:
        return text
    first, *rest = text.encode("utf-8", "surrogateescape").split(b"%")
    pieces = [first]
    for piece in rest:
        value = int(piece[:2], 16) if len(piece) > 1 and piece[0] in _HEX and piece[1] in _HEX else 0
        pieces.append(bytes((value,)) + piece[2:] if value else b"%" + piece)
    return safe(b"".join(pieces).decode("utf-8", "surrogateescape"))


def encoded(text: str) -> str:
    """Percent-encoded, but for what RFC 3986 calls unreserved, `/` and `+`; a `:` would mislead git's own decoding."""
    return "".join([chr(b) if b in _UNRESERVED else f"%{b:02X}" for b in text.encode("utf-8", "surrogateescape")])


def scheme_length(text: str) -> int:
    """How many characters could be a protocol's name: a letter or digit, then also `+`, `-`, `.`."""
    for index, char in enumerate(text):
        if not char.isascii() or not (char.isalnum() or (index and char in "+-.")):
            return index
    return len(text)


def bracket_end(text: str) -> int:
    """Where git begins to look for the end of the host: at the `]` of `[…]` at the start or after `@`, else 0."""
    start = text.find("@[") + 1
    return max(text.find("]", start + 1), 0) if text.startswith("[", start) else 0


def split_destination(text: str) -> tuple[str, int | None]:
    """([USER@]HOST, port) of git's `host`, its brackets off: `git@host:22`, `[git@host:22]`, `git@[::1]:22`."""
    end = bracket_end(text)
    if not end:
        host, colon, port = text.partition(":")
        return (host, port_number(port)) if colon and not port.strip("0123456789") else (text, None)
    start = text.find("@[") + 1
    inner, after = text[:start] + text[start + 1 : end], text[end + 1 :]
    if after:
        if after[0] != ":":
            raise InvalidRemoteURL("a remote URL with something between its host and its port")
        return inner, port_number(after[1:])
    host, _, port = inner.partition(":")
    return (host, port_number(port)) if port and not port.strip("0123456789") else (inner, None)


def port_number(text: str) -> int | None:
    """A port, None for an empty one, which git and curl take as none."""
    if not text:
        return None
    if text.strip("0123456789") or len(text) > 9 or not 0 < int(text) < 65536:
        raise InvalidRemoteURL("a remote URL with a port that is none", hints=["use a port from 1 to 65535"])
    return int(text)


def split_host(authority: str) -> tuple[str, int | None]:
    """(host, port) of `HOST[:PORT]` or `[IPv6][:PORT]`."""
    if authority.startswith("["):
        host, _, port = authority[1:].partition("]")
        if ":" not in host or port[:1] not in ("", ":"):
            raise InvalidRemoteURL("a remote URL with a bracket that is no IPv6 address")
        return checked_host(host.replace("%25", "%", 1)), port_number(port[1:])
    host, _, port = authority.partition(":")
    return checked_host(host), port_number(port)


def checked_host(host: str) -> str:
    """The host, if it can be one: never empty, an option (CVE-2017-1000117), or a piece of something else."""
    if not host.strip("."):
        raise InvalidRemoteURL("a remote URL without a host")
    if host.startswith("-"):
        raise InvalidRemoteURL("a remote URL whose host starts with a dash")
    address, percent, zone = host.partition("%")
    is_ipv6 = address.count(":") > 1 and _IPV6.issuperset(lower(address)) and (not percent or zone.isalnum())
    if not is_ipv6 and (not _NOT_IN_HOST.isdisjoint(host) or any(char.isspace() for char in host)):
        raise InvalidRemoteURL("a remote URL with a host or port that is none")
    if not host.isascii():
        from unicodedata import normalize

        # Who writes the name of a host in ASCII would see another one: U+FF0F becomes a slash (CVE-2019-9636).
        if not _NOT_IN_HOST.isdisjoint(normalize("NFKC", host)):
            raise InvalidRemoteURL("a remote URL with a host or port that is none")
    return host


def authority_of(host: str, port: int | None) -> str:
    """`HOST[:PORT]`, an IPv6 address in brackets, its zone encoded as RFC 6874 says."""
    if ":" in host:
        host = "[" + host.replace("%", "%25", 1) + "]"
    return host if port is None else f"{host}:{port}"


def lower(host: str) -> str:
    """Lower case for ASCII only: another alphabet's letter must not become the name of another host."""
    return host.lower() if host.isascii() else "".join([char.lower() if char.isascii() else char for char in host])


def has_drive(text: str) -> bool:
    """Whether a path begins with a drive of Windows: `C:`."""
    return text[1:2] == ":" and text[0].isascii() and text[0].isalpha()


def first_of(text: str, marks: str) -> int:
    """The first place of any of these characters, or the length."""
    return min((where for where in map(text.find, marks) if where >= 0), default=len(text))


def has_dot_segment(path: str) -> bool:
    """Return whether a server might read a segment of a URL's path as `.` or `..`, however it is written.

    Servers, proxies and HTTP libraries remove dot segments (RFC 3986, 5.2.4) at different times: before or after they
    decode `%2e`, `%2f` and `%5c` (some of them twice), with `\\` read as `/`, without what follows a `;`, and with
    Unicode's or overlong UTF-8's other dots and slashes read as the plain ones.
    """
    if "." not in path and "%" not in path and path.isascii():
        return False
    data = path.encode("utf-8", "surrogateescape")
    for _ in range(8):
        before, data = data, _unescaped(data)
        if data == before:
            break
    else:
        return True  # nobody encodes a path so many times without an aim
    data = data.replace(b"\xc0\xae", b".").replace(b"\xc0\xaf", b"/").replace(b"\xc1\x9c", b"/")
    text = data.decode("utf-8", "replace")
    if not text.isascii():
        from unicodedata import normalize

        text = normalize("NFKC", text)
    for segment in text.replace("\\", "/").split("/"):
        name = "".join(char for char in segment.partition(";")[0] if char.isprintable()).strip()
        if name in (".", ".."):
            return True
    return False


def _unescaped(data: bytes) -> bytes:
    """Return a text percent-decoded once, NUL and control characters included."""
    first, *rest = data.split(b"%")
    pieces = [first]
    for piece in rest:
        is_hex = len(piece) > 1 and piece[0] in _HEX and piece[1] in _HEX
        pieces.append(bytes((int(piece[:2], 16),)) + piece[2:] if is_hex else b"%" + piece)
    return b"".join(pieces)


# --- owner and repository ----------------------------------------------------------------------


def names_in(host: str, path: str, *, web: bool) -> tuple[str | None, str | None]:
    """(owner, repository): the last segment without one `.git`, and all before it; platforms' marks taken away."""
    segments = [segment for segment in path.split("/") if segment]
    if "." in segments or ".." in segments:
        return None, None
    names = _without_marks(host, segments, web)
    if names and names[-1] == ".git":
        names = names[:-1]
    if not names:
        return None, None
    return "/".join(names[:-1]) or None, names[-1].removesuffix(".git")


def _without_marks(host: str, segments: list[str], web: bool) -> list[str]:
    """[owner…, repository] of a path: what platforms put between the names, and pages below them, left out."""
    host = host.removesuffix(".")
    if host in ("ssh.dev.azure.com", "vs-ssh.visualstudio.com") and segments[:1] == ["v3"] and len(segments) == 4:
        return [decoded(segment) for segment in segments[1:]]  # Azure's own decoding: git does none here
    if host.startswith("git-codecommit.") and segments[:2] == ["v1", "repos"]:
        return segments[2:]
    if host in ("github.com", "gitlab.com", "bitbucket.org"):
        return _without_page(host, segments) if web else segments
    azure = _azure_names(host, segments)
    if azure is not None:
        return azure
    return _without_bitbucket_marks(_without_page(host, segments)) if web else segments


def _without_page(host: str, segments: list[str]) -> list[str]:
    """Return the names before those of a page that a browser shows."""
    if host == "github.com":
        return segments[:2] if segments[2:3] and segments[2] in _GITHUB_PAGES else segments
    if host == "bitbucket.org":
        return segments[:2]
    # GitLab, wherever it runs: https://docs.gitlab.com/development/routing/ keeps `-` for its pages.
    return segments[: segments.index("-", 2)] if "-" in segments[2:] else segments


def _azure_names(host: str, segments: list[str]) -> list[str] | None:
    """Return [organization or collection…, project, repository] of Azure DevOps, hosted or self-hosted; else None.

    `_git` stands before the repository, in older URLs for ssh `_ssh`, perhaps with `_full` or `_optimized` after it.
    """
    public = host == "dev.azure.com" or host.endswith(".visualstudio.com")
    if host.endswith(".visualstudio.com"):
        project = segments[1:] if segments[:1] == ["DefaultCollection"] else segments
        segments = [host.partition(".")[0]] + project  # org.visualstudio.com/project is dev.azure.com/org/project
    mark = next((at for at, segment in enumerate(segments) if at and segment in ("_git", "_ssh")), None)
    if mark is None:
        return segments if public else None
    after = segments[mark + 1 :]
    if after[:1] in (["_full"], ["_optimized"]):
        after = after[1:]
    if not after:
        return segments if public else None
    # org/_git/project: both have one name
    return segments[:mark] + after[:1] * (2 if public and mark == 1 else 1)


def _without_bitbucket_marks(segments: list[str]) -> list[str]:
    """Return [project, repository] of Bitbucket Server: …/scm/KEY/REPO, its pages …/projects/KEY/repos/REPO/…."""
    context = segments[:-3]
    if segments[-3:-2] == ["scm"] and (not context or (len(context) == 1 and context[0] in _BITBUCKET_CONTEXTS)):
        return segments[-2:]
    for mark in range(len(segments) - 3):
        if segments[mark] in ("projects", "users") and segments[mark + 2] == "repos":
            person = "~" if segments[mark] == "users" else ""
            return [person + segments[mark + 1], segments[mark + 3]]
    return segments
