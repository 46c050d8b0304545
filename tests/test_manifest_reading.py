"""Reading and writing manifests: bytes that survive, and damage of any kind that ends in one clear line."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from git_coderepo.errors import InvalidManifest
from git_coderepo.manifest.model import Manifest
from git_coderepo.manifest.validate import problems, receipt_problems
from git_coderepo.manifest.writer import MANIFEST_LIMIT, encode, path_value
from tests.support.manifests import EXAMPLE_RUN, arguments, example_document, example_receipt, paths

UNTIMED = settings(deadline=None, suppress_health_check=list(HealthCheck))
EXAMPLE = encode(example_document())


def refusal(data: bytes) -> str:
    """The one line with which a damaged manifest is refused; `validate` refuses it too."""
    with pytest.raises(InvalidManifest) as raised:
        Manifest.parse(data)
    assert "\n" not in raised.value.message
    assert raised.value.message.isprintable()
    found = problems(data)
    assert found
    assert all("\n" not in line for line in found)
    return raised.value.message


def changed(change) -> bytes:
    """The example's bytes, after `change(document)`."""
    document = example_document()
    change(document)
    return encode(document)


# --- what is read ------------------------------------------------------------------------------


def test_the_model_says_what_the_document_says():
    manifest = Manifest.parse(EXAMPLE)
    assert manifest.digest == sha256(EXAMPLE).hexdigest()
    assert manifest.run.id == EXAMPLE_RUN
    assert manifest.run.command == (b"python", b"train.py", b"")
    assert manifest.run.directory == b"services/train"
    assert manifest.repository is not None and manifest.repository.remote is not None
    assert manifest.repository.options["apiUrl"] == "https://api.github.com"
    assert manifest.repository.remote.path == "/acme/widgets.git"
    code = manifest.code
    assert code.overlay is not None and code.overlay.data is not None and code.base is not None
    assert code.overlay.deleted == (b"old.py", b"caf\xe9.txt")
    assert sha256(code.overlay.data).hexdigest() == code.overlay.sha256
    assert code.base.known_by == "remote-tracking"
    assert code.special is not None
    assert [(entry.path, entry.mode, entry.target) for entry in code.special] == [
        (b"run.sh", 0o100755, None),
        (b"latest", 0o120000, b"../v2"),
        (b"lib", 0o160000, None),
    ]
    assert code.submodules[0].commit.hex == "7" * 40


def test_no_repository_no_base_no_commit_and_an_overlay_beside_the_manifest():
    def change(document):
        document["repository"] = None
        document["code"].update(base=None, head=None, special=None)
        document["code"]["overlay"].update(deleted=[])
        del document["code"]["overlay"]["data"]

    manifest = Manifest.parse(changed(change))
    code = manifest.code
    assert (manifest.repository, code.base, code.head, code.special) == (None, None, None, None)
    assert code.overlay is not None and code.overlay.data is None


@pytest.mark.slow
@settings(UNTIMED, max_examples=150)
@given(st.lists(paths(), unique=True, max_size=5), st.lists(arguments(), min_size=1, max_size=3))
@example(
    [b"a b", b"-rf", b"\xff", b"line\nbreak", b"\n", b"d/.\n", b"x" * 250, b"\xe9" * 250, b"..."], [b"", b"\xff", b"--"]
)
def test_every_path_and_argument_comes_back_byte_for_byte(paths, words):
    def change(document):
        document["code"]["overlay"]["deleted"] = [path_value(path) for path in paths]
        document["code"]["scope"] = [path_value(path) for path in paths] or None
        document["run"]["command"] = [path_value(word) for word in words]

    data = changed(change)
    assert problems(data) == []
    manifest = Manifest.parse(data)
    assert manifest.code.overlay is not None
    assert list(manifest.code.overlay.deleted) == paths
    assert list(manifest.code.scope or ()) == paths
    assert list(manifest.run.command or ()) == words


def test_a_branch_and_a_local_remote_that_are_not_utf8_come_back_as_the_system_shows_them():
    def change(document):
        document["code"]["head"]["branch"] = path_value("caf\udce9")
        document["repository"]["remote"].update(transport="local", host=None, path=path_value("/srv/caf\udce9.git"))

    manifest = Manifest.parse(changed(change))
    assert manifest.code.head is not None and manifest.code.head.branch == "caf\udce9"
    assert manifest.repository is not None and manifest.repository.remote is not None
    assert manifest.repository.remote.path == "/srv/caf\udce9.git"


def test_base64_of_a_utf8_path_is_the_same_path():
    data = changed(lambda document: document["code"].update(scope=[{"base64": base64.b64encode(b"a b").decode()}]))
    assert Manifest.parse(data).code.scope == (b"a b",)


@pytest.mark.parametrize(
    "layout", [{"separators": (",", ":")}, {"indent": 8, "sort_keys": True}, {"ensure_ascii": True}]
)
def test_another_writers_layout_is_read_alike(layout):
    document = example_document()
    document["run"]["name"] = "first 😀"
    assert Manifest.parse(json.dumps(document, **layout).encode()).code == Manifest.parse(EXAMPLE).code


# --- damage ------------------------------------------------------------------------------------


@settings(UNTIMED, max_examples=300)
@given(st.binary(max_size=200) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"")
@example(b"\xef\xbb\xbf{}")
@example(b'"\\ud800"')
@example(b"-")
def test_any_bytes_at_all_are_refused(data):
    refusal(data)


JSON_PIECES = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"\\",
    b"\\u",
    b"\\ud800",
    b"1e999",
    b"-",
    b"null",
    b"\0",
    b"\xff",
    b"\n",
    b"{{",
    b"NaN",
]


@pytest.mark.slow
@settings(UNTIMED, max_examples=300)
@given(st.data())
def test_a_damaged_text_is_read_or_refused_in_one_line(data):
    text = bytearray(EXAMPLE)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        length = data.draw(st.sampled_from((0, 1, 1, 2, 40, len(text))))
        text[start : start + length] = data.draw(st.sampled_from(JSON_PIECES) | st.binary(max_size=3))
    try:
        Manifest.parse(bytes(text))
    except InvalidManifest:
        refusal(bytes(text))
    else:
        assert problems(bytes(text)) == []


@pytest.mark.parametrize("end", [0, 1, 100, len(EXAMPLE) // 2, len(EXAMPLE) - 3])
def test_a_manifest_that_was_cut_off_is_refused(end):
    assert refusal(EXAMPLE[:end]).startswith("not JSON at line ")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"[" * 3_000_000, "nested more than 64 levels deep"),
        (b'{"a":' * 500_000, "nested more than 64 levels deep"),
        (b'{"a\\\\":' + b"[" * 100, "nested more than 64 levels deep"),
        (b'"' + b'\\"' * 2_000_000, "not JSON at line 1, column 1: unterminated string starting at"),
        (b"9" * 1_000_000, "a number of 1000000 digits"),
        (b"-1e999", "the number -1e999 is not finite"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b'{"run": 1, "run": 2}', "the key 'run' is repeated in one object"),
        (b'["\\uD83D"]', "a text contains the lone surrogate U+D83D"),
        (b'{"\\uDE00": 1}', "a text contains the lone surrogate U+DE00"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8 at byte 7"),
        (b" " * MANIFEST_LIMIT + b"1", "larger than 4 MiB"),
        (b"{}", "not a run manifest: it has no 'manifestVersion'"),
        (EXAMPLE + b"{}", f"not JSON at line {EXAMPLE.count(10) + 1}, column 1: extra data"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_json_would_take_and_we_do_not(data, line):
    assert refusal(data) == line


def test_brackets_in_a_text_are_no_depth():
    data = changed(lambda document: document["run"].update(name="[" * 200 + '\\"' + "{" * 200))
    assert Manifest.parse(data).run.name == "[" * 200 + '\\"' + "{" * 200


def test_twenty_submodules_in_each_other_are_read_and_thirty_are_refused():
    def nested(depth):
        code = example_document()["code"]
        for _ in range(depth):
            outer = example_document()["code"]
            outer["submodules"][0].update(state="fetched", code=code)
            code = outer
        return encode(example_document() | {"code": code})

    assert problems(nested(19)) == []
    assert refusal(nested(30)) == "nested more than 64 levels deep"


def link_without_target(document):
    del document["code"]["special"][1]["target"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda m: m["code"]["snapshot"].update(tree="5" * 39), "code.snapshot.tree: not 40 lower-case hex digits"),
        (lambda m: m["code"]["snapshot"].update(tree="5" * 64), "code.snapshot.tree: not 40 lower-case hex digits"),
        (lambda m: m["code"].update(objectFormat="sha256"), "code.snapshot.tree: not 64 lower-case hex digits"),
        (lambda m: m["code"].update(objectFormat="md5"), "code.objectFormat: not one of sha1, sha256"),
        (lambda m: m["code"].pop("base"), "code.base: missing"),
        (lambda m: m.update(code=[]), "code: not an object"),
        (
            lambda m: m["code"]["changes"].update(staged=-1),
            "code.changes.staged: not an integer from 0 to 9007199254740991",
        ),
        (
            lambda m: m["code"]["changes"].update(staged=True),
            "code.changes.staged: not an integer from 0 to 9007199254740991",
        ),
        (
            lambda m: m["run"].update(createdOn="2026-02-30T00:00:00Z"),
            "run.createdOn: invalid time 2026-02-30T00:00:00Z",
        ),
        (lambda m: m["run"].update(command=[]), "run.command: fewer than 1"),
        (lambda m: m["run"].update(command=["a\0b"]), "run.command[0]: not a text without NUL"),
        (lambda m: m["run"].update(command=[{"base64": "AP8="}]), "run.command[0]: contains NUL"),
        (link_without_target, "code.special[1].target: missing"),
        (
            lambda m: m["code"]["special"][0].update(target="x"),
            "code.special[0].target: not allowed: only a symbolic link has a target",
        ),
        (
            lambda m: m["code"]["special"].append({"path": "run.sh", "mode": "100755"}),
            "code.special[3]: the path 'run.sh' is named twice",
        ),
        (
            lambda m: m["code"]["overlay"]["deleted"].append({"base64": "b2xkLnB5"}),
            "code.overlay.deleted[2]: the path 'old.py' is named twice",
        ),
        (lambda m: m["code"].update(base=None), "code.overlay.deleted: requires a base"),
        (lambda m: m["code"]["overlay"].update(size=1), "code.overlay.data: 59 bytes, not the recorded 1"),
        (
            lambda m: m["code"]["overlay"].update(sha256="0" * 64),
            "code.overlay.data: does not have the recorded sha256",
        ),
        (lambda m: m["code"]["overlay"].update(data="AB=="), "code.overlay.data: not canonical base64"),
        (
            lambda m: m["code"]["submodules"][0].update(code={}),
            "code.submodules[0].code: not null, in a submodule that is absent",
        ),
        (lambda m: m["repository"]["remote"].update(port=0), "repository.remote.port: not an integer from 1 to 65535"),
        (
            lambda m: m["repository"]["remote"].update(transport="ext"),
            "repository.remote.transport: not a known transport",
        ),
        (lambda m: m["repository"]["options"].update({"odd name": "x"}), "repository.options: not an option's name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damage_is_named_by_the_field_it_is_in(change, line):
    assert refusal(changed(change)) == line


BAD_PATHS = [b"", b"/", b"/etc/passwd", b"a/", b"a//b", b".", b"..", b"../x", b"a/../b", b"a/./b", b"a/..", b"a\0b"]


@pytest.mark.parametrize("path", BAD_PATHS)
@pytest.mark.parametrize("spelling", ["text", "base64"])
def test_a_path_that_could_leave_the_target_is_refused_in_either_spelling(path, spelling):
    value = path.decode() if spelling == "text" else {"base64": base64.b64encode(path).decode()}

    def change(document):
        document["code"]["overlay"]["deleted"] = ["fine", value]

    assert "code.overlay.deleted[1]" in refusal(changed(change))


@pytest.mark.parametrize(
    "place",
    [
        "name",
        "type",
        "source",
        "remote.host",
        "remote.user",
        "remote.path",
        "options.owner",
        "options.{{x.y}}",
        "laterField",
        "remote.laterField",
    ],
)
def test_a_reference_to_a_secret_in_the_repository_is_refused_wherever_it_stands(place):
    def change(document):
        *way, last = place.split(".", 1)
        owner = document["repository"][way[0]] if way else document["repository"]
        if place.startswith("options."):
            owner, last = document["repository"]["options"], place.partition(".")[2]
        owner[last if way else place] = ["{{prod.token}}"] if "later" in place else "{{prod.token}}"

    assert "not free of '{{'" in refusal(changed(change))


def test_a_reference_to_a_secret_is_refused_as_the_name_of_a_later_field():
    data = changed(lambda document: document["repository"].update(later=[{"{{prod.token}}": 1}]))
    assert refusal(data) == "repository.later[0]: not free of '{{', which begins a reference to a secret"


def test_a_reference_to_a_secret_is_refused_in_base64_too():
    hidden = {"base64": base64.b64encode(b"/{{prod.token}}").decode()}
    data = changed(lambda document: document["repository"]["remote"].update(path=hidden))
    assert refusal(data) == "repository.remote.path: not free of '{{', which begins a reference to a secret"


# --- a part proves itself ----------------------------------------------------------------------


@pytest.fixture
def part(repo):
    """A manifest whose run uses `services/träin` of a real repository, as a document."""
    repo.write("services/träin/run.py", "print()")
    repo.write("services/trä", "a neighbour")
    repo.write("other", "")
    repo.commit()
    proof = [repo.git("cat-file", "tree", name) for name in ("HEAD^{tree}", "HEAD:services")]
    document = example_document()
    document["code"]["snapshot"]["tree"] = repo.git("rev-parse", "HEAD^{tree}").decode().strip()
    document["code"]["subdirectory"] = {
        "path": "services/träin",
        "tree": repo.git("rev-parse", "HEAD:services/träin").decode().strip(),
        "proof": [base64.b64encode(contents).decode() for contents in proof],
    }
    return document


def test_a_part_of_a_real_repository_proves_itself(part):
    subdirectory = Manifest.parse(encode(part)).code.subdirectory
    assert subdirectory.path == "services/träin".encode()
    assert len(subdirectory.proof) == 2


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"path": "services"}, "proof: 2 tree objects for 1 parts of the path"),
        ({"path": "services/tr"}, "proof[1]: has no directory 'tr'"),
        ({"path": "services/trä"}, "proof[1]: has no directory 'trä'"),
        ({"path": "."}, "proof: 2 tree objects for 0 parts of the path"),
        ({"path": ".", "proof": []}, "tree: is not the tree "),
        ({"tree": "0" * 40}, "tree: is not the tree "),
        ({"proof": ["AAAA", "AAAA"]}, "proof[0]: is not the tree "),
        ({"proof": []}, "proof: 0 tree objects for 2 parts of the path"),
    ],
)
def test_a_proof_that_does_not_lead_to_the_part_is_refused(part, change, line):
    part["code"]["subdirectory"].update(change)
    assert refusal(encode(part)).startswith(f"code.subdirectory.{line}")


# --- files and standard input ------------------------------------------------------------------


def test_a_manifest_is_loaded_from_a_file(tmp_path):
    path = tmp_path / "a run.json"
    path.write_bytes(EXAMPLE)
    assert Manifest.load(str(path)) == Manifest.parse(EXAMPLE)


def test_a_manifest_is_loaded_from_standard_input():
    script = "import sys; from git_coderepo.manifest.model import Manifest; print(Manifest.load('-').digest)"
    result = subprocess.run([sys.executable, "-c", script], input=EXAMPLE, stdout=subprocess.PIPE, check=True)
    assert result.stdout.decode().strip() == sha256(EXAMPLE).hexdigest()


def test_a_file_that_is_no_manifest_is_named_in_the_one_line(tmp_path):
    path = tmp_path / "notes\n.txt"
    path.write_text("hello")
    with pytest.raises(InvalidManifest) as raised:
        Manifest.load(str(path))
    assert raised.value.message == f"invalid manifest {str(path)!a}: not JSON at line 1, column 1: expecting value"


@pytest.mark.parametrize("name", ["missing.json", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_named_in_the_one_line(tmp_path, name):
    with pytest.raises(InvalidManifest, match=r"^cannot read the manifest '"):
        Manifest.load(f"{tmp_path}/{name}")


def test_a_file_that_never_ends_is_refused():
    with pytest.raises(InvalidManifest, match="larger than 4 MiB"):
        Manifest.load("/dev/zero")


# --- writing -----------------------------------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.slow
@settings(UNTIMED, max_examples=150)
@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), json_values, max_size=4))
@example({"controls": "".join(map(chr, range(0x20))) + '"\\/\x7f\u2028'})
def test_the_writer_writes_what_the_json_module_would(document):
    assert encode(document).decode() == json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def test_a_manifest_of_more_than_4_mib_is_refused_when_it_is_written():
    document = example_document()
    document["code"]["overlay"]["data"] = "AAAA" * (1 << 20)
    with pytest.raises(InvalidManifest, match=r"^the manifest would be 4\.0 MiB, more than 4 MiB$") as raised:
        encode(document)
    assert any("coderepo.inlineLimit" in hint for hint in raised.value.hints)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), "caf\udce9"])
def test_what_json_does_not_have_is_refused_when_it_is_written(value):
    with pytest.raises(InvalidManifest, match="cannot record") as raised:
        encode({"name": value})
    assert raised.value.message.isprintable()


def test_the_writer_loads_nothing_that_the_hook_would_wait_for():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules)\n"
        "from git_coderepo.manifest.writer import encode, path_value\n"
        "encode({'path': path_value(b'\\xff'), 'numbers': [1, 1.5, None, True]})\n"
        "print(*sorted(name for name in set(sys.modules) - before if not name.startswith('git_coderepo')))"
    )
    root = subprocess.run(
        [sys.executable, "-c", "import git_coderepo; print(*git_coderepo.__path__)"], stdout=subprocess.PIPE, check=True
    )
    parent = root.stdout.decode().strip().rpartition("/")[0]
    result = subprocess.run([sys.executable, "-IS", "-c", script, parent], stdout=subprocess.PIPE, check=True)
    assert set(result.stdout.decode().split()) <= {"__future__", "binascii"}


# --- validate ----------------------------------------------------------------------------------


def test_validate_names_every_field_that_is_wrong():
    def change(document):
        document["run"].update(id="x", command=3)
        del document["code"]["dirty"], document["code"]["head"]["tree"]
        document["producer"]["git"] = 3
        document["code"]["special"][0]["target"] = "x"

    assert problems(changed(change)) == [
        "run.id: not a UUID of version 7, in lower case",
        "run.command: not a list or null",
        "code.dirty: missing",
        "code.head.tree: missing",
        "code.special[0].target: not allowed: only a symbolic link has a target",
        "producer.git: not a line of text",
    ]


def test_validate_does_not_bury_the_user_in_lines():
    found = problems(changed(lambda document: document["code"]["overlay"].update(deleted=["/"] * 5000)))
    assert found[0] == "code.overlay.deleted[0]: not a relative path without empty, '.' or '..' parts"
    assert len(found) == 101
    assert found[-1].endswith("more, at least")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"verified": False}, "verified: not true"),
        ({"verified": 1}, "verified: not true"),
        ({"tree": "5" * 41}, "tree: not 40 or 64 lower-case hex digits"),
        ({"treeBy": "Hope!"}, "treeBy: not a short lower-case word"),
        ({"seconds": -1}, "seconds: not a number from 0"),
        ({"outsideLinks": ["../x"]}, "outsideLinks[0]: not a relative path without empty, '.' or '..' parts"),
        ({"manifest": {"digest": None}}, "manifest.runId: missing"),
        ({"receiptVersion": "2.0"}, "receiptVersion: not a version 1.x"),
        ({"$schema": None}, "$schema: not urn:git-coderepo:receipt:1"),
    ],
)
def test_a_damaged_receipt_is_refused_by_the_field(change, line):
    assert receipt_problems(encode(example_receipt() | change)) == [line]


def test_a_receipt_of_a_fetch_without_a_manifest_is_valid():
    receipt = example_receipt() | {
        "manifest": {"digest": None, "runId": None},
        "overlay": None,
        "fallbacks": [],
        "subdirectory": "a/b",
    }
    assert problems(encode(receipt)) == receipt_problems(encode(receipt)) == []
    assert receipt_problems(b"{") != []
