"""What does not travel: untracked files that are secret by name or excluded, and contents in the shape of a token."""

from __future__ import annotations

from git_coderepo.errors import NotReproducible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SECRET_NAMES = frozenset(
    b".env .envrc .netrc _netrc .git-credentials .pgpass .pypirc .npmrc .htpasswd kubeconfig "
    b"id_rsa id_dsa id_ecdsa id_ecdsa_sk id_ed25519 id_ed25519_sk "
    b"credentials.json client_secret.json service_account.json secrets.toml".split()
)
_SECRET_ENDINGS = (b".pem", b".key", b".p12", b".pfx", b".jks", b".keystore", b".kdbx", b".ppk", b".tfvars")
_PUBLIC_ENV = (b".example", b".sample", b".template", b".dist", b".defaults")

_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_UPPER = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_WIDE = _LETTERS | frozenset(b"_-")
# (how it begins, the bytes that follow, how many at the least), each as its vendor documents it.
_TOKEN_SHAPES = (
    (b"ghp_", _LETTERS, 36),
    (b"gho_", _LETTERS, 36),
    (b"ghu_", _LETTERS, 36),
    (b"ghs_", _LETTERS, 36),
    (b"ghr_", _LETTERS, 36),
    (b"github_pat_", _LETTERS | frozenset(b"_"), 60),
    (b"glpat-", _WIDE, 20),
    (b"gldt-", _WIDE, 20),
    (b"glrt-", _WIDE, 20),
    (b"AKIA", _UPPER, 16),
    (b"ASIA", _UPPER, 16),
    (b"xoxb-", _WIDE, 24),
    (b"xoxp-", _WIDE, 24),
    (b"hf_", _LETTERS, 34),
    (b"sk-ant-", _WIDE, 40),
    (b"sk_live_", _LETTERS, 24),
    (b"AIza", _WIDE, 35),
    (b"npm_", _LETTERS, 36),
    (b"pypi-AgEI", _WIDE, 50),
    (b"dapi", frozenset(b"0123456789abcdef"), 32),
    (b"ATATT3xFf", _WIDE, 60),
)
_KEY_BEGIN = b"-----BEGIN "
_KEY_END = b"PRIVATE KEY-----"


def secret_by_name(path: bytes) -> bool:
    """Whether a file of this name holds a secret by custom: `.env`, private keys, password files."""
    name = path.rpartition(b"/")[2].lower()
    if name.startswith(b".env."):
        return not name.endswith(_PUBLIC_ENV)
    return name in _SECRET_NAMES or name.endswith(_SECRET_ENDINGS)


def excluded(path: bytes, patterns: Sequence[str]) -> bool:
    """Whether `coderepo.exclude` names this path: a shell pattern for the path, its last name or a folder above it."""
    from fnmatch import fnmatchcase
    from os import fsdecode

    text = fsdecode(path)
    folders = [text[:at] for at, char in enumerate(text) if char == "/"]
    for pattern in patterns:
        wanted = pattern.rstrip("/")
        candidates = folders if pattern.endswith("/") else [text, *folders]
        for candidate in candidates:
            if fnmatchcase(candidate, wanted.lstrip("/")):
                return True
            if "/" not in wanted and fnmatchcase(candidate.rpartition("/")[2], wanted):
                return True
    return False


def find_token(contents: bytes) -> int | None:
    """The offset of the first thing in the unmistakable shape of a token or a private key, else None."""
    found = [offset for shape in _TOKEN_SHAPES for offset in _matches(contents, *shape)]
    at = contents.find(_KEY_BEGIN)
    while at >= 0:
        line_end = contents.find(b"\n", at)
        line = contents[at : line_end if line_end >= 0 else at + 80]
        if line.rstrip().endswith(_KEY_END) and _looks_like_base64(contents[at + len(line) :]):
            found.append(at)
            break
        at = contents.find(_KEY_BEGIN, at + 1)
    return min(found, default=None)


def _matches(contents: bytes, begin: bytes, alphabet: frozenset[int], length: int) -> Iterable[int]:
    at = contents.find(begin)
    while at >= 0:
        body = contents[at + len(begin) : at + len(begin) + length]
        word_before = at > 0 and contents[at - 1] in _LETTERS
        # A placeholder such as ghp_xxxxxxxx… has no variety; a token has.
        if not word_before and len(body) == length and alphabet.issuperset(body) and len(set(body)) > 6:
            yield at
            return
        at = contents.find(begin, at + 1)


def _looks_like_base64(rest: bytes) -> bool:
    lines = rest.split(b"\n", 4)[1:4]
    return any(len(line.strip()) >= 40 and (_LETTERS | frozenset(b"+/=")).issuperset(line.strip()) for line in lines)


def refuse_token(path: bytes, contents: bytes) -> None:
    """Raise NotReproducible, naming file and line, where something that would travel holds a token."""
    offset = find_token(contents)
    if offset is None:
        return
    from os import fsdecode

    line = contents.count(b"\n", 0, offset) + 1
    name = fsdecode(path)
    raise NotReproducible(
        f"what looks like a token would travel with the run: '{name}', line {line}",
        hints=[
            "take it out of the file and read it from the environment",
            f"or leave the file out, if it is untracked: git config --add coderepo.exclude '{name}'",
            "or, where it is none: git config coderepo.secretScan false",
        ],
        waived_as="token",
    )
