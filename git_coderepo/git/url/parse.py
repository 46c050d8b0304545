"""Parse the URL of a remote as git does, in time linear in its length.

Follows `parse_connect_url` in Git's connect.c (ssh, scp-like, git, file, local), `transport_get` in transport.c
(helpers) and `credential_from_url` in credential.c (http); see https://git-scm.com/docs/git-clone#_git_urls. A URL is
refused where git would accept a host, port or path that nobody intends. InvalidRemoteURL never quotes the URL, because
it may contain a secret.
"""

from __future__ import annotations

from git_coderepo.errors import InvalidRemoteURL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    # transport, user, host as written, port, path, (owner, repository), whether there is a secret
    Parts = tuple[str, str | None, str | None, int | None, str | None, tuple[str | None, str | None], bool]

WEB = frozenset(("https", "http", "ftp", "ftps"))
SSH_SCHEMES = frozenset(("ssh", "git+ssh", "ssh+git"))

_HEX = frozenset(b"0123456789abcdefABCDEF")
_IPV6 = frozenset("0123456789abcdef:.")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/+")
_NOT_IN_HOST = frozenset(" \"!#$%&'()*/:;<>?@[\\]^`{|}")
# ssh inserts the user's name and the host into commands of its configuration, such as ProxyCommand (CVE-2023-51385).
# The characters that OpenSSH 9.6 refuses in a name are refused here for every ssh, and `$` and spaces as well.
_NOT_IN_USER = frozenset(" \"$&'();<>`{|}/[]")
# A user name with such a beginning is a token, according to the documentation of its platform.
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
# Usual paths of a Bitbucket Server; elsewhere `scm` is an ordinary name: git.kernel.org/pub/scm.
_BITBUCKET_CONTEXTS = frozenset(("bitbucket", "stash", "git"))
# Remote helpers whose address is a command or a descriptor: git-remote-ext(1), git-remote-fd(1).
_COMMANDS = frozenset(("ext", "fd"))


REASON = "invalid remote URL: "


def invalid(reason: str, *, hints: Iterable[str] = ()) -> InvalidRemoteURL:
    """Return the error for an invalid URL; `reason` must not quote the URL, which may contain a secret."""
    return InvalidRemoteURL(REASON + reason, hints=hints)


# --- the forms of a URL ------------------------------------------------------------------------


def read_url(text: str, windows: bool = False) -> Parts:
    """Return the parts of a URL or path; see `RemoteURL.parse`. Raises InvalidRemoteURL."""
    text = safe(text)
    length = scheme_length(text)
    scheme, rest = text[:length], text[length:]
    if rest.startswith("::"):
        return _opaque(scheme, rest[2:])
    if length and rest.startswith("://"):
        return _by_scheme(scheme, rest[3:], windows)
    if "://" in text:
        raise invalid("git does not know its protocol")
    if scheme == "rsync" and rest.startswith(":"):
        raise invalid("git no longer supports rsync")
    colon, slash = text.find(":"), text.find("/")
    if colon < 0 or 0 <= slash < colon or (windows and has_drive(text)):
        return _local("local", text, windows)
    return _over_network("ssh", text, ":")


def _by_scheme(scheme: str, rest: str, windows: bool) -> Parts:
    """Parse `SCHEME://REST`."""
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
            raise invalid("a file URL needs a path", hints=["write file:///absolute/path"])
        # git ignores the host of a file URL.
        return _local("file", rest[start:], windows, bracketed=bracket_end(rest) > 0)
    if scheme in WEB:
        return _web(scheme, rest)
    # git starts `git-remote-SCHEME`. Those with the form of a web URL are parsed as one.
    if scheme.lower() in WEB:
        return _web(f"helper:{scheme}", rest)
    if scheme in ("git+https", "git+http"):
        # pip's form, VCS+PROTOCOL://HOST/PATH@REVISION#FRAGMENT: https://pip.pypa.io/en/stable/topics/vcs-support/
        place, slash, path = rest[: first_of(rest, "?#")].partition("/")
        return _web(f"helper:{scheme}", place + slash + (path.rpartition("@")[0] or path), secret="?" in rest)
    return _opaque(scheme, f"{scheme}://{rest}")


def _web(transport: str, rest: str, *, secret: bool = False) -> Parts:
    """Parse `[USER[:PASSWORD]@]HOST[:PORT]/PATH[?QUERY][#FRAGMENT]` (RFC 3986)."""
    end = first_of(rest, "/?#")
    userinfo, at, authority = rest[:end].rpartition("@")
    if "@" in userinfo or "\\" in userinfo:  # git and curl disagree about the host
        raise invalid("it has two '@', or a '\\', before its host", hints=["write '@' in a name as %40"])
    host, port = split_host(authority)
    name, colon, _ = userinfo.partition(":")
    user = decoded(name) if at else None
    raw_path = rest[end : first_of(rest, "?#")]
    if "%00" in raw_path:
        raise invalid("it contains a NUL byte")
    path = decoded(raw_path).rstrip("/")
    segments = path.split("/")
    if not path or "." in segments or ".." in segments:
        raise invalid("its path contains '.' or '..'" if path else "the repository is missing")
    secret = secret or bool(colon) or "?" in rest[end:] or (user or "").startswith(_TOKEN_PREFIXES)
    names = names_in(lower(host), path, web=True)
    return transport, user, host, port, path, names, secret


def _over_network(transport: str, rest: str, separator: str) -> Parts:
    """Parse `HOST SEPARATOR PATH`, already decoded, for ssh and git, with the peculiarities of git."""
    where = rest.find(separator, bracket_end(rest))
    if where < 0:
        raise invalid("the path is missing")
    path = rest[where + 1 :] if separator == ":" else rest[where:]
    if path.encode("utf-8", "surrogateescape")[1:2] == b"~":  # git counts bytes
        path = path[1:]  # ssh://host/~user/x is ~user/x
    if path.startswith("-"):
        raise invalid("its path starts with a dash")
    if "@[" in path:
        raise invalid("git misreads a path with '@['")  # in any other spelling git reads a host
    if not path.strip("/"):
        raise invalid("the repository is missing")
    destination, port = split_destination(rest[:where])
    userinfo, at, host = destination.rpartition("@")
    user, colon, _ = userinfo.partition(":")
    if at and transport == "git":
        raise invalid("a git:// URL cannot have a user name")
    if at and transport == "ssh" and not _is_safe_user(user):
        raise invalid("ssh does not accept its user name")
    names = names_in(lower(checked_host(host)), path, web=False)
    return transport, user if at else None, host, port, path, names, bool(colon)


def _is_safe_user(user: str) -> bool:
    """Return whether a user name is safe for ssh and for a shell; `DOMAIN\\name` is."""
    if not user or user.startswith("-") or user.endswith("\\"):
        return False
    return _NOT_IN_USER.isdisjoint(user) and not any(char.isspace() for char in user)


def _local(transport: str, path: str, windows: bool, *, bracketed: bool = False) -> Parts:
    if path.startswith("-"):
        raise invalid("its path starts with a dash", hints=["write './' before it"])
    if bracketed or bracket_end(path) > 0:
        raise invalid("git misreads a path with a bracket at its start or after '@'")
    plain = (path.replace("\\", "/") if windows else path).rstrip("/")
    if windows and has_drive(plain):
        plain = plain[2:]
    parts = [part for part in plain.split("/") if part]
    if parts and parts[-1] == ".git":
        parts.pop()
    name = parts[-1].removesuffix(".git") if parts else ""
    return transport, None, None, None, path, (None, None if name in ("", ".", "..") else name), False


def _opaque(helper: str, address: str) -> Parts:
    """Return the address for an unknown remote helper: unparsed, or without the address if it may have a secret."""
    if not helper or not address or address.startswith("-"):
        raise invalid("a remote helper needs a protocol and an address")
    if helper in _COMMANDS:
        raise invalid(f"'{helper}::' runs a command or reads a descriptor")
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
    """Return whether `SCHEME://…` is parsed here, and not left to a remote helper."""
    return scheme in SSH_SCHEMES or scheme.lower() in WEB or scheme in ("git", "file", "git+https", "git+http")


# --- parts -------------------------------------------------------------------------------------


def safe(text: str) -> str:
    """Return the text; raises InvalidRemoteURL if it is empty or has control characters (CVE-2020-5260)."""
    try:
        text = text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise invalid("it is not valid text") from None
    if not text:
        raise invalid("it is empty")
    if not text.isprintable() and any(char < " " or "\x7f" <= char < "\xa0" or char in "\u2028\u2029" for char in text):
        raise invalid("it contains a line break or another control character")
    return text


def decoded(text: str) -> str:
    """Decode percent escapes once, as git's `url_decode` does: `%00` and invalid escapes remain."""
    if "%" not in text:
        return text
    first, *rest = text.encode("utf-8", "surrogateescape").split(b"%")
    pieces = [first]
    for piece in rest:
        value = int(piece[:2], 16) if len(piece) > 1 and piece[0] in _HEX and piece[1] in _HEX else 0
        pieces.append(bytes((value,)) + piece[2:] if value else b"%" + piece)
    return safe(b"".join(pieces).decode("utf-8", "surrogateescape"))


def encoded(text: str) -> str:
    """Percent-encode all but RFC 3986's unreserved characters, `/` and `+`; git would misread an unescaped `:`."""
    return "".join([chr(b) if b in _UNRESERVED else f"%{b:02X}" for b in text.encode("utf-8", "surrogateescape")])


def scheme_length(text: str) -> int:
    """Return the length of the protocol at the start: a letter or digit, then also `+`, `-`, `.`."""
    for index, char in enumerate(text):
        if not char.isascii() or not (char.isalnum() or (index and char in "+-.")):
            return index
    return len(text)


def bracket_end(text: str) -> int:
    """Return where git starts to search for the host's end: the `]` of `[…]` at the start or after `@`, or 0."""
    start = text.find("@[") + 1
    return max(text.find("]", start + 1), 0) if text.startswith("[", start) else 0


def split_destination(text: str) -> tuple[str, int | None]:
    """Return ([USER@]HOST, port) without brackets, of `git@host:22`, `[git@host:22]` or `git@[::1]:22`."""
    end = bracket_end(text)
    if not end:
        host, colon, port = text.partition(":")
        return (host, port_number(port)) if colon and not port.strip("0123456789") else (text, None)
    start = text.find("@[") + 1
    inner, after = text[:start] + text[start + 1 : end], text[end + 1 :]
    if after:
        if after[0] != ":":
            raise invalid("there is something between its host and its port")
        return inner, port_number(after[1:])
    host, _, port = inner.partition(":")
    return (host, port_number(port)) if port and not port.strip("0123456789") else (inner, None)


def port_number(text: str) -> int | None:
    """Return a port; None if it is empty, as in git and curl. Raises InvalidRemoteURL."""
    if not text:
        return None
    if text.strip("0123456789") or len(text) > 9 or not 0 < int(text) < 65536:
        raise invalid("its port is not a number from 1 to 65535", hints=["use a port from 1 to 65535"])
    return int(text)


def split_host(authority: str) -> tuple[str, int | None]:
    """Return (host, port) of `HOST[:PORT]` or `[IPv6][:PORT]`. Raises InvalidRemoteURL."""
    if authority.startswith("["):
        host, _, port = authority[1:].partition("]")
        if ":" not in host or port[:1] not in ("", ":"):
            raise invalid("there is no IPv6 address in its brackets")
        return checked_host(host.replace("%25", "%", 1)), port_number(port[1:])
    host, _, port = authority.partition(":")
    return checked_host(host), port_number(port)


def checked_host(host: str) -> str:
    """Return the host; raises InvalidRemoteURL if it is empty, an option (CVE-2017-1000117) or not a host."""
    if not host.strip("."):
        raise invalid("it has no host")
    if host.startswith("-"):
        raise invalid("its host starts with a dash")
    address, percent, zone = host.partition("%")
    is_ipv6 = address.count(":") > 1 and _IPV6.issuperset(lower(address)) and (not percent or zone.isalnum())
    if not is_ipv6 and (not _NOT_IN_HOST.isdisjoint(host) or any(char.isspace() for char in host)):
        raise invalid("its host or port is not valid")
    if not host.isascii():
        from unicodedata import normalize

        # Converting the host to ASCII would change it: U+FF0F becomes a slash (CVE-2019-9636).
        if not _NOT_IN_HOST.isdisjoint(normalize("NFKC", host)):
            raise invalid("its host or port is not valid")
    return host


def authority_of(host: str, port: int | None) -> str:
    """Return `HOST[:PORT]`, with an IPv6 address in brackets and its zone encoded (RFC 6874)."""
    if ":" in host:
        host = "[" + host.replace("%", "%25", 1) + "]"
    return host if port is None else f"{host}:{port}"


def lower(host: str) -> str:
    """Return a host in lower case, for ASCII letters only: other letters could become another host."""
    return host.lower() if host.isascii() else "".join([char.lower() if char.isascii() else char for char in host])


def has_drive(text: str) -> bool:
    """Return whether a path starts with a Windows drive, such as `C:`."""
    return text[1:2] == ":" and text[0].isascii() and text[0].isalpha()


def first_of(text: str, marks: str) -> int:
    """Return the offset of the first of these characters, or the length."""
    return min((where for where in map(text.find, marks) if where >= 0), default=len(text))


def has_dot_segment(path: str) -> bool:
    """Return whether a server might read a segment of a URL's path as `.` or `..`, in any encoding.

    Servers, proxies and HTTP libraries remove dot segments (RFC 3986, 5.2.4) before or after they decode `%2e`, `%2f`
    and `%5c` (some twice). Some read `\\` as `/`, ignore what follows a `;`, or treat other dots and slashes of Unicode
    and overlong UTF-8 as the ASCII ones.
    """
    if "." not in path and "%" not in path and path.isascii():
        return False
    data = path.encode("utf-8", "surrogateescape")
    for _ in range(8):
        before, data = data, _unescaped(data)
        if data == before:
            break
    else:
        return True  # so many layers of encoding are an attack
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
    """Return bytes percent-decoded once, including NUL and control characters."""
    first, *rest = data.split(b"%")
    pieces = [first]
    for piece in rest:
        is_hex = len(piece) > 1 and piece[0] in _HEX and piece[1] in _HEX
        pieces.append(bytes((int(piece[:2], 16),)) + piece[2:] if is_hex else b"%" + piece)
    return b"".join(pieces)


# --- owner and repository ----------------------------------------------------------------------


def names_in(host: str, path: str, *, web: bool) -> tuple[str | None, str | None]:
    """Return (owner, repository) of a path: the last segment without one `.git`, and those before it.

    Segments that a platform inserts, such as `_git` and `scm`, are left out.
    """
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
    """Return [owner…, repository] of a path, without segments that platforms insert or that name a page."""
    host = host.removesuffix(".")
    if host in ("ssh.dev.azure.com", "vs-ssh.visualstudio.com") and segments[:1] == ["v3"] and len(segments) == 4:
        return [decoded(segment) for segment in segments[1:]]  # Azure decodes these, git does not
    if host.startswith("git-codecommit.") and segments[:2] == ["v1", "repos"]:
        return segments[2:]
    if host in ("github.com", "gitlab.com", "bitbucket.org"):
        return _without_page(host, segments) if web else segments
    azure = _azure_names(host, segments)
    if azure is not None:
        return azure
    return _without_bitbucket_marks(_without_page(host, segments)) if web else segments


def _without_page(host: str, segments: list[str]) -> list[str]:
    """Return the segments before those of a page in the browser."""
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
    # org/_git/project: project and repository have the same name
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
