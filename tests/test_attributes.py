"""The attributes of a tree's paths are the ones that git gives them: `git check-attr --cached` is the judge."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from git_coderepo.git.attributes.rules import Attributes
from git_coderepo.git.attributes.wildmatch import Pattern, _Automaton
from tests.support.environment import clean_environment
from tests.support.repo import Repo


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    place = tmp_path_factory.mktemp("attributes")
    return Repo.init(place / "code", clean_environment(place / "home"))


def by_git(repo: Repo, files: Mapping[bytes, bytes], paths: list[bytes]) -> dict[bytes, dict[bytes, bytes | bool]]:
    """What git says of these paths, the `.gitattributes` being in the index alone."""
    repo.git("read-tree", "--empty")
    rows = b""
    for directory, contents in files.items():
        id = repo.git("hash-object", "-w", "--no-filters", "--stdin", input=contents).strip()
        rows += b"100644 %b\t%b.gitattributes\0" % (id, directory and directory + b"/")
    repo.git("update-index", "-z", "--index-info", input=rows)
    said = repo.git("check-attr", "-z", "--cached", "--stdin", "-a", input=b"".join(path + b"\0" for path in paths))
    words = said.split(b"\0")[:-1]
    found: dict[bytes, dict[bytes, bytes | bool]] = {path: {} for path in paths}
    for path, name, value in zip(words[::3], words[1::3], words[2::3], strict=True):
        found[path][name] = {b"set": True, b"unset": False}.get(value, value)
    return found


# Paths from few letters, so that patterns of the same letters fit now and then.
NAMES = st.one_of(
    st.text("ab.-[]*!#\\ ", min_size=1, max_size=4).map(str.encode),
    st.sampled_from([b"\xff", b"new\nline", b'"q"', b"A", b"tab\t", "ü".encode(), b"-n", b"[attr]x"]),
).filter(lambda name: name.strip(b".") and b"git" not in name)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(b"/".join)
PIECES = st.sampled_from(
    rb"a b ab A . * ** *** / /**/ **/ /** ? [ab] [!a] [^b] [a-b] [b-a] [/] \ \* \/ [ ] - ! # []] []-a] [\]] [a- [[:"
    rb" [[:alpha:]] [[:punct:]] [[:nope:]]".split()
    + [b"\xff"]
)
PATTERNS = st.one_of(
    st.lists(PIECES, min_size=1, max_size=6).map(b"".join),
    PATHS,
    st.sampled_from([b'"a b"', b'"\\141"', b'"new\\nline"', b'"a', b'"\\377"', b'"a\\400"', b'"a"b', b'""', b"/", b"//",
                     b"*", b'"a\\000b"', b'"[attr]m"', b"[attr]", b'"[attr]m n"', b'"\\"q\\""', b"a/", b"!a", b"\\!a",
                     b"\\#"]),
)  # fmt: skip
WORDS = st.sampled_from(
    b"text -text !text text=auto eol=crlf eol=lf binary -binary !binary m -m m=1 n ident -diff=x filter= diff=a=b merge"
    b" --x - diff=\xff a\xffb".split()
    + [b"x y", b"text\v"]
)
STATES = st.lists(WORDS, min_size=0, max_size=3).map(b" ".join)
LINES = st.one_of(
    st.tuples(PATTERNS, st.sampled_from([b" ", b"\t", b"  "]), STATES).map(b"".join),
    st.tuples(st.sampled_from([b"[attr]m ", b"[attr]n ", b"[attr]binary ", b"[attr]-x ", b"[attr]\xff "]), STATES).map(
        b"".join
    ),
    st.sampled_from(
        [b"", b"# a comment", b" \t", b" a text", b"\ra n", b"b m \r", b"a", b"\0", b"x" * 2047 + b" n", b"\v n"]
    ),
)
FILES = st.lists(LINES, max_size=6).map(b"\n".join)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    files=st.dictionaries(st.sampled_from([b"", b"a", b"a/b", b"b", b"\xff"]), FILES, max_size=4),
    paths=st.lists(PATHS, min_size=1, max_size=12, unique=True),
)
@example(files={b"": b"foo**/bar n\n"}, paths=[b"foo/bar", b"foox/bar", b"foo/x/bar", b"foox/y/bar", b"x/foo/bar"])
@example(files={b"": b"[attr]m n text\n* m\n", b"a": b"* -m\n"}, paths=[b"x", b"a/x"])
@example(files={b"a": b"[attr]m n\n* m\n"}, paths=[b"x", b"a/x"])
@example(files={b"": b"\xef\xbb\xbfa n\n"}, paths=[b"a", b"\xef\xbb\xbfa"])
@example(files={b"": b"* text\n" + b"a" * 2040 + b" n -text\n"}, paths=[b"a" * 2040])
@example(files={b"": b"[attr]m n\n[attr]n m\n* m\n"}, paths=[b"x"])
def test_any_attributes_files_mean_what_they_mean_to_git(repository: Repo, files, paths: list[bytes]):
    attributes = Attributes(files)

    expected = by_git(repository, files, paths)

    assert {path: attributes.of(path) for path in paths} == expected
    assert {name for found in expected.values() for name in found} <= attributes.names()
    assert bool(attributes) or not any(expected.values())
    for names in ({b"text"}, {b"n", b"eol"}):
        limited = attributes.only(names)
        for path in paths:
            some = {name: value for name, value in limited.of(path).items() if name in names}
            assert some == {name: value for name, value in expected[path].items() if name in names}


def test_each_class_of_bytes_is_the_one_of_git(repository: Repo):
    names = [
        "alnum",
        "alpha",
        "blank",
        "cntrl",
        "digit",
        "graph",
        "lower",
        "print",
        "punct",
        "space",
        "upper",
        "xdigit",
    ]
    files = {b"": b"".join(b"[[:%b:]] in-%b\n" % (name.encode(), name.encode()) for name in names)}
    paths = [bytes((byte,)) for byte in range(1, 256) if byte not in b"./"]

    expected = by_git(repository, files, paths)

    assert {path: Attributes(files).of(path) for path in paths} == expected
    assert len({name for found in expected.values() for name in found}) == len(names)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(pattern=st.lists(PIECES, min_size=1, max_size=6).map(b"".join), path=PATHS)
def test_a_pattern_with_many_stars_means_the_same_by_its_other_way(pattern: bytes, path: bytes):
    """A hostile pattern goes to an automaton, whose work is bounded; the tests above saw the expression."""
    from git_coderepo.git.attributes.wildmatch import _expression, _tokens

    for is_path in (True, False):
        tokens = _tokens(pattern, is_path)
        text = path if is_path else path.rpartition(b"/")[2]
        if tokens is not None:
            assert _Automaton(tokens).accepts(text) == bool(_expression(tokens).fullmatch(text))


def test_a_hostile_pattern_ends():
    """Sixty stars before a letter that is not there: 4,000 to the power of sixty ways to fail."""
    pattern = Pattern(b"", b"*a" * 60 + b"*[c]*")
    assert not pattern.matches(b"a" * 4000, b"a" * 4000)
    assert pattern.matches(b"a" * 4000 + b"c", b"a" * 4000 + b"c")
