"""The search for secrets before they travel: files that are secret by name or excluded, and contents like tokens."""

from __future__ import annotations

from git_coderepo.errors import NotReproducible
from git_coderepo.git.objects import hasher
from git_coderepo.git.process import exclude_command, read_blobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from git_coderepo.git.objects import ObjectId
    from git_coderepo.git.process import Git
    from git_coderepo.git.tree_diff import Difference
    from git_coderepo.settings import Settings

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
# Every token is a run of at least so many of these bytes: 1 and 0 for `bytes.translate`.
_SHORTEST = min(len(begin) + length for begin, _, length in _TOKEN_SHAPES)
_IN_TOKENS = bytes(byte in _WIDE for byte in range(256))
_PIECE = 1 << 20
# The bytes around a token that are read with it: its line, if it is not longer.
_CONTEXT = 64 << 10
_KEY_BEGIN = b"-----BEGIN "
_KEY_END = b"PRIVATE KEY-----"


def secret_by_name(path: bytes) -> bool:
    """Return whether a file of this name usually holds a secret: `.env`, private keys, password files."""
    name = path.rpartition(b"/")[2].lower()
    if name.startswith(b".env."):
        return not name.endswith(_PUBLIC_ENV)
    return name in _SECRET_NAMES or name.endswith(_SECRET_ENDINGS)


def excluded(path: bytes, patterns: Sequence[str]) -> bool:
    """Return whether a pattern names this path: a shell pattern for the path, its last name or a folder above it."""
    from fnmatch import fnmatchcase
    from os import fsdecode

    text = fsdecode(path)
    folders = [text[:at] for at, char in enumerate(text) if char == "/"]
    for pattern in patterns:
        name = pattern.rstrip("/")
        candidates = folders if pattern.endswith("/") else [text, *folders]
        for candidate in candidates:
            if fnmatchcase(candidate, name.lstrip("/")):
                return True
            if "/" not in name and fnmatchcase(candidate.rpartition("/")[2], name):
                return True
    return False


class Token:
    """A probable token: where it begins and ends in its contents."""

    __slots__ = ("end", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end


def find_token(contents: bytes) -> int | None:
    """Return the offset of the first probable token or private key; None without one."""
    return min((token.start for token in find_tokens(contents)), default=None)


def find_tokens(contents: bytes) -> list[Token]:
    """Return the probable tokens and private keys; the examples of vendors do not count."""
    tokens: list[Token] = []
    if _has_long_word(contents):
        tokens += [token for shape in _TOKEN_SHAPES for token in _matches(contents, *shape)]
    at = contents.find(_KEY_BEGIN)
    while at >= 0:
        line_end = contents.find(b"\n", at)
        line = contents[at : line_end if line_end >= 0 else at + 80]
        body = _base64_line(contents, at + len(line)) if line.rstrip().endswith(_KEY_END) else None
        if body is not None:
            tokens.append(Token(at, body.end))
        at = contents.find(_KEY_BEGIN, at + 1)
    return tokens


def _has_long_word(contents: bytes) -> bool:
    """Return whether there is a run of bytes that could hold a token; models and archives have none.

    It is one pass instead of one for each shape.
    """
    run = b"\1" * _SHORTEST
    for at in range(0, len(contents), _PIECE):
        if run in contents[at : at + _PIECE + _SHORTEST].translate(_IN_TOKENS):
            return True
    return False


def _matches(contents: bytes, begin: bytes, alphabet: frozenset[int], length: int) -> Iterator[Token]:
    at = contents.find(begin)
    while at >= 0:
        start = at + len(begin)
        body = contents[start : start + length]
        word_before = at > 0 and contents[at - 1] in _LETTERS
        # A placeholder such as ghp_xxxxxxxx… has no variety; a token has.
        if not word_before and len(body) == length and alphabet.issuperset(body) and len(set(body)) > 6:
            end = start + length
            while end < len(contents) and contents[end] in alphabet:
                end += 1
            if not _is_example(begin, contents[start:end]):
                yield Token(at, end)
        at = contents.find(begin, at + 1)


# Keys that the vendors' own documentation shows, without their beginnings: AWS, GitHub, Slack, Google, Databricks.
_EXAMPLES = frozenset((
    b"16C7e42F292c6912E7710c838347Ae178B4a",
    b"1B4a2e77838347a7E420ce178F2E7c6912E169246c34E1ccbF66C46812d16D5B1A9Dc86A1498",
    b"17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
    b"not-a-real-token-this-will-not-work",
    b"1111827393-16111519414-20367011469-5f89a31i07",
    b"SyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe",
    b"1234567890ab1cde2f3ab456c7d89efa",
))  # fmt: skip


def _is_example(begin: bytes, body: bytes) -> bool:
    """Return whether a key is one that its vendor documents: those of AWS end in EXAMPLE."""
    return body in _EXAMPLES or (begin in (b"AKIA", b"ASIA") and body.endswith(b"EXAMPLE"))


def _base64_line(contents: bytes, at: int) -> Token | None:
    """Return the first of the three lines after an offset that looks like the body of a key."""
    start = contents.find(b"\n", at) + 1
    for _ in range(3):
        if start <= 0:
            return None
        end = contents.find(b"\n", start)
        line = contents[start : end if end >= 0 else len(contents)]
        if len(line.strip()) >= 40 and (_LETTERS | frozenset(b"+/=")).issuperset(line.strip()):
            return Token(start, start + len(line))
        start = end + 1
    return None


# Comments that make this scanner, or another one, accept a line.
_PRAGMAS = (b"coderepo:allow-secret", b"pragma: allowlist secret", b"gitleaks:allow")
# The most places that one message names.
_NAMED = 20
_HINTED = 5


class Finding:
    """A probable token that would travel: the raw `path`, the `line` from 1 on, its `text`, and the `secret` in it."""

    __slots__ = ("line", "path", "secret", "text")

    def __init__(self, path: bytes, line: int, text: bytes, secret: bytes) -> None:
        self.path = path
        self.line = line
        self.text = text
        self.secret = secret

    @property
    def fingerprint(self) -> str:
        """The value of `coderepo.allowSecret` that allows it: a digest of path and line, which reveals neither."""
        digest = hasher("sha256")
        digest.update(self.path + b"\0" + self.text.strip())
        return digest.hexdigest()[:20]


class Scan:
    """A search for tokens in the files that would travel; `look` notes findings, `check` raises an error for them.

    `has_excused` says that a setting allowed one.
    """

    __slots__ = ("_allowed", "_findings", "has_excused")

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(allowed)
        self._findings: list[Finding] = []
        self.has_excused = False

    def look_through(self, path: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Scan a file for tokens as `look` does, while passing its pieces on; at most two pieces are in memory."""
        held, line, first = b"", 1, 0
        for piece in pieces:
            yield piece
            held = held + piece if held else piece
            if len(held) > _PIECE:
                # A token that begins later is noted with the next piece; its line stays in memory until then.
                end = len(held) - _CONTEXT
                self._note(path, held, line, first, end)
                start = max(end - _CONTEXT, 0)
                line += held.count(b"\n", 0, start)
                held, first = held[start:], end - start
        self._note(path, held, line, first, len(held))

    def look(self, path: bytes, contents: bytes) -> None:
        """Scan a file for tokens, except lines with a pragma or an allowed fingerprint."""
        self._note(path, contents, 1, 0, len(contents))

    def _note(self, path: bytes, contents: bytes, line: int, first: int, end: int) -> None:
        """Note the tokens that begin between two offsets of contents whose first line has this number."""
        for token in sorted(find_tokens(contents), key=lambda token: token.start):
            if not first <= token.start < end:
                continue
            begin = contents.rfind(b"\n", 0, token.start) + 1
            line_end = contents.find(b"\n", token.start)
            text = contents[begin : line_end if line_end >= 0 else len(contents)]
            if any(pragma in text for pragma in _PRAGMAS):
                continue
            secret = contents[token.start : token.end].rpartition(b"\n")[2].strip()
            finding = Finding(path, contents.count(b"\n", 0, token.start) + line, text, secret)
            if finding.fingerprint in self._allowed:
                self.has_excused = True
                continue
            self._findings.append(finding)

    def check(self, git: Git, base_tree: ObjectId | None) -> None:
        """Raise NotReproducible, naming files and lines, if a token would travel that the base does not have."""
        found = _unknown_to(git, base_tree, self._findings) if self._findings else []
        if not found:
            return
        from os import fsdecode

        places = list(dict.fromkeys((each.path, each.line) for each in found))
        named = ", ".join(f"'{fsdecode(path)}', line {line}" for path, line in places[:_NAMED])
        more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
        what = "a probable token" if len(places) == 1 else f"{len(places)} probable tokens"
        prints = list(dict.fromkeys(each.fingerprint for each in found))
        allow = [f"git config --add coderepo.allowSecret {each}" for each in prints[:_HINTED]]
        raise NotReproducible(
            f"{what} would travel with the run: {named}{more}",
            hints=[
                "remove the token from the file and read it from the environment",
                f"or leave the file out, if it is untracked: {exclude_command(found[0].path)}",
                *(f"or, if it is not a secret: {command}" for command in allow),
                "or turn off the scan: git config coderepo.secretScan false",
            ],
            waived_as="token",
        )


def refuse_tokens(git: Git, sending: Sequence[Difference], base_tree: ObjectId | None, allowed: Iterable[str]) -> None:
    """Read the files that would be sent. Raises NotReproducible where they hold tokens that the base does not have."""
    scan = Scan(allowed)
    blobs = read_blobs(git, [row.id for row in sending])
    for row, (_, size, source) in zip(sending, blobs, strict=True):
        scan.look(row.path, source.read(size))
    scan.check(git, base_tree)


def allowed_secrets(settings: Settings) -> list[str]:
    """Return the fingerprints that `coderepo.allowSecret` holds, here and in a superproject."""
    outer = allowed_secrets(settings.outer) if settings.outer is not None else []
    return [*settings.texts("allowSecret"), *outer]


def _unknown_to(git: Git, base_tree: ObjectId | None, found: list[Finding]) -> list[Finding]:
    """Return the findings whose tokens no file of the base's tree has: the platform has those of the base already."""
    if base_tree is None:
        return found
    secrets = {each.secret for each in found if b"\0" not in each.secret}
    # git reads the tokens from standard input: other users can read arguments.
    plain = ("--no-color", "--no-line-number", "--no-column", "-h", "-o")
    process = git.start(
        "grep", "--text", *plain, "-F", "-f", "-", base_tree.hex, stdin=b"".join(each + b"\n" for each in secrets)
    ).finish()
    known = set(process.stdout.split(b"\n")) if process.status == 0 else set()
    return [each for each in found if each.secret not in known]
