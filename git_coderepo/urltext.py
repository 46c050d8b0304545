"""The pieces that the text of a URL is made of: encoding, host, port, and the names that platforms put in a path.

Each function is pure and takes time linear in its text; each refuses by InvalidRemoteURL, whose words never
repeat the text, since it may hold a secret.
"""

from __future__ import annotations

from git_coderepo.errors import InvalidRemoteURL

_HEX = frozenset(b"0123456789abcdefABCDEF")
_IPV6 = frozenset("0123456789abcdef:.")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/+")
_NOT_IN_HOST = frozenset(" \"!#$%&'()*/:;<>?@[\\]^`{|}")
_GITHUB_PAGES = frozenset(
    ("tree", "blob", "raw", "commit", "commits", "pull", "pulls", "issues", "releases", "actions")
)


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
        raise InvalidRemoteURL("a remote URL with a port that is none", hints=["a port is a number from 1 to 65535"])
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
    if not web:
        return segments
    if host == "dev.azure.com" or host.endswith(".visualstudio.com"):
        if host != "dev.azure.com":
            project = segments[1:] if segments[0] == "DefaultCollection" else segments
            segments = [host.partition(".")[0]] + project  # org.visualstudio.com/project is dev.azure.com/org/project
        if "_git" in segments[1:-1]:
            mark = segments.index("_git", 1)
            owner, repository = segments[:mark], segments[mark + 1]
            return owner + [repository] * (2 if mark == 1 else 1)  # org/_git/project: both have one name
    elif host == "github.com":
        return segments[:2] if segments[2:3] and segments[2] in _GITHUB_PAGES else segments
    elif host not in ("gitlab.com", "bitbucket.org"):
        # Bitbucket Server, maybe below a path: …/scm/KEY/REPO, and its pages …/projects/KEY/repos/REPO/….
        if segments[-3:-2] == ["scm"]:
            return segments[-2:]
        for mark in range(len(segments) - 3):
            if segments[mark] in ("projects", "users") and segments[mark + 2] == "repos":
                person = "~" if segments[mark] == "users" else ""
                return [person + segments[mark + 1], segments[mark + 3]]
    return segments
