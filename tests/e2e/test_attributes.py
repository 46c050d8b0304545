"""What `.gitattributes` ask for: files on a runner are as a checkout has them, and it is still the recorded tree."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.support import World, load, on_platforms, refused, world
from tests.support.repo import Repo

WIDE = "wide: \u8a9e\nsecond\n"
ASKED = b"""[attr]dos text eol=crlf
*.bat dos
*.rc text working-tree-encoding=UTF-16LE-BOM eol=crlf
*.latin working-tree-encoding=ISO-8859-1
*.c ident
raw/** -text -ident
*.nb filter=strip
"""


def author(root: Path) -> Repo:
    """A repository whose files were checked in as its attributes want them; names are what names can be."""
    from tests.support.environment import clean_environment

    repo = Repo.init(root / "author", clean_environment(root / "author home"))
    repo.write(".gitattributes", ASKED)
    repo.write("run me.bat", b"echo one\r\necho two\r\n", mode=0o755)
    repo.write(b"-n\xff\new.bat", b"echo\r\n")
    repo.write("raw/run.bat", b"echo\r\nraw\n")
    repo.write("app.rc", b"\xff\xfe" + WIDE.replace("\n", "\r\n").encode("utf-16-le"))
    repo.write("caf\u00e9.latin", "caf\u00e9\n".encode("latin-1"))
    repo.write("main.c", b"/* $Id$ */\n")
    repo.write("raw/main.c", b"/* $Id$ */\n")
    repo.write("plain.txt", b"lf\n")
    repo.write("a.nb", b'{"output": 1}\n')
    repo.symlink("link.bat", "run me.bat")
    repo.commit("first")
    return repo


def files_of(directory: Path | bytes) -> dict[bytes, tuple[int, bytes]]:
    """Path to (mode, contents or link's target) of what stands there, `.git` left away."""
    found = {}
    root = os.fsencode(directory)
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != b".git"]
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                found[os.path.relpath(path, root)] = (0, os.readlink(path))
            else:
                with open(path, "rb") as file:
                    found[os.path.relpath(path, root)] = (os.lstat(path).st_mode, file.read())
    return found


def configure_all_that_could_convert(place: World) -> Path:
    """The runner's own git would make something else of every file, and run a program for some."""
    ran = place.runner.home / "the filter ran"
    place.runner.home.joinpath(".gitconfig").write_text(
        f"[core]\n\tautocrlf = true\n\teol = crlf\n\tattributesFile = {place.runner.home}/attributes\n"
        f'[filter "strip"]\n\tsmudge = "touch \'{ran}\'; cat"\n\tclean = "touch \'{ran}\'; cat"\n\trequired = true\n'
    )
    place.runner.home.joinpath("attributes").write_text("* text eol=crlf filter=strip\n")
    return ran


@pytest.mark.slow
@pytest.mark.parametrize("platform", on_platforms("gitlab", "github", "git"))
def test_files_on_a_runner_are_as_a_checkout_without_configuration_has_them(tmp_path: Path, platform: str) -> None:
    """Line ends, encodings and `$Id$` as the tree asks, nothing as the machine does, and it is the recorded tree."""
    with world(tmp_path, platform, source=author(tmp_path)) as place:
        place.register()
        place.checkout.write("new.bat", b"echo new\r\n")
        place.checkout.write("main.c", b"/* $Id: 0123 $ */\nint x;\n")
        manifest = place.manifest()
        ran = configure_all_that_could_convert(place)

        receipt = place.runner.run("fetch", "--json", manifest, "code").json()

        assert receipt["tree"] == place.checkout.tree()
        code = place.runner.home / "code"
        there = place.clone("as it is checked out")
        expected = files_of(there.path) | {b"new.bat": (0o100644, b"echo new\r\n")}
        made = files_of(code)
        changed = made.pop(b"main.c")[1]
        blob = place.checkout.git("hash-object", "--path=main.c", "main.c").strip()
        assert changed == b"/* $Id: %b $ */\nint x;\n" % blob
        del expected[b"main.c"]
        assert made == expected | {b"new.bat": made[b"new.bat"]}
        assert made[b"new.bat"][1] == b"echo new\r\n"
        assert made[b"app.rc"][1].startswith(b"\xff\xfe")
        assert made[b"raw/main.c"][1] == b"/* $Id$ */\n"
        conversions = {(each["kind"], each["value"]): each for each in receipt["conversions"]}
        assert {key: each["files"] for key, each in conversions.items()} == {
            ("eol", "crlf"): 4,
            ("ident", "true"): 1,
            ("working-tree-encoding", "UTF-16LE-BOM"): 1,
            ("working-tree-encoding", "ISO-8859-1"): 1,
            ("filter", "strip"): 0,
        }
        assert conversions[("filter", "strip")]["left"] == ["a.nb"]
        assert not ran.exists()

        assert "unchanged" in place.runner.run("verify", "--strict", manifest, "code").text
        (code / "run me.bat").write_bytes(b"echo one\r\necho too\r\n")
        answer = place.runner.run("verify", "--json", manifest, "code", check=False).json()
        assert (answer["changed"], answer["missing"], answer["added"]) == (["run me.bat"], [], [])
        # Attributes that are not of the tree excuse nothing.
        (code / "run me.bat").write_bytes(b"echo one\r\necho two\r\n")
        (code / "raw/.gitattributes").write_bytes(b"*.c ident\n")
        (code / "raw/main.c").write_bytes(b"/* $Id: other $ */\n")
        answer = place.runner.run("verify", "--json", manifest, "code", check=False).json()
        assert (answer["changed"], answer["added"]) == (["raw/main.c"], ["raw/.gitattributes"])


@pytest.mark.slow
@pytest.mark.parametrize("platform", on_platforms("github", "gitlab"))
def test_a_runner_without_git_undoes_what_was_done_to_the_archive(tmp_path: Path, platform: str) -> None:
    """`git archive` converts as a checkout does: such files are hashed again as git would check them in."""
    with world(tmp_path, platform, source=author(tmp_path)) as place:
        place.register()
        place.checkout.write("main.c", b"/* $Id$ */\nint x;\n")
        manifest = place.manifest()
        assert load(manifest)["code"]["base"]["archive"] == "altered"
        done = subprocess.run(
            [place.runner.program.executable(), "fetch", "--receipt", "receipt.json", "run.json", "code"],
            cwd=place.runner.home,
            env={**place.runner.env, "PATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        receipt = load(place.runner.home / "receipt.json")
        assert (receipt["method"], receipt["tree"]) == ("archive", place.checkout.tree())
        made = files_of(place.runner.home / "code")
        assert made[b"run me.bat"][1] == b"echo one\r\necho two\r\n"
        assert made[b"app.rc"][1] == b"\xff\xfe" + WIDE.replace("\n", "\r\n").encode("utf-16-le")
        assert "unchanged" in place.runner.run("verify", "run.json", "code").text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "name"), [(b"secret.txt export-ignore\n", "export-ignore"), (b"*.txt export-subst\n", "export-subst")]
)
def test_what_an_archive_loses_for_good_is_said(tmp_path: Path, asked: bytes, name: str) -> None:
    files = {".gitattributes": asked, "secret.txt": b"$Format:%H$\n"}
    with world(tmp_path, "github", files=files) as place:
        place.register()
        place.manifest()
        refused(
            place.runner,
            "fetch",
            "--method",
            "archive",
            "run.json",
            "code",
            status=128,
            says="nothing was written",
            hint=name,
        )
        assert place.runner.run("fetch", "--json", "run.json", "code").json()["method"] == "git"


@pytest.mark.parametrize(
    "by_server", [b"* eol=crlf\n", b"*.md export-ignore\n", b"*.md text working-tree-encoding=UTF-16\n"]
)
def test_an_archive_that_should_be_exact_and_is_not_leads_to_git(tmp_path: Path, by_server: bytes) -> None:
    """A server's own attributes (`info/attributes`) alter archives of a tree that asks for nothing."""
    with world(tmp_path, "gitlab", files={"README.md": b"one\ntwo\n"}) as place:
        place.register()
        place.manifest()
        assert load(place.runner.home / "run.json")["code"]["base"]["archive"] == "exact"
        info = Path(place.repository.path) / "info"
        info.mkdir(exist_ok=True)
        (info / "attributes").write_bytes(by_server)
        receipt = place.runner.run("fetch", "--json", "run.json", "code").json()
        assert (receipt["method"], [each["method"] for each in receipt["fallbacks"]]) == ("git", ["archive"])
        assert files_of(place.runner.home / "code")[b"README.md"][1] == b"one\ntwo\n"


@pytest.mark.slow
def test_what_cannot_be_converted_keeps_its_bytes_and_is_named(tmp_path: Path) -> None:
    """An encoding that nobody knows, contents that it cannot hold, line ends that would not come back."""
    asked = b"*.odd working-tree-encoding=klingon\n*.latin working-tree-encoding=latin-1\n"
    asked += b"*.bat eol=crlf\n*.c ident\n"
    blobs = {
        "a.odd": b"x\n",
        "b.latin": "\u8a9e\n".encode(),
        "mixed.bat": b"one\r\ntwo\n",
        "old.c": b"$Id: byhand $\n",
    }
    with world(tmp_path, "git", files=blobs) as place:
        place.checkout.write(".gitattributes", asked)
        place.checkout.git("add", ".gitattributes")
        tree = place.checkout.line("write-tree")
        commit = place.checkout.line("commit-tree", tree, "-m", "attributes", "-p", "HEAD")
        place.push(refspec=f"{commit}:refs/heads/main")
        done = place.runner.run("fetch", "--receipt", "receipt.json", f"{place.url}@{commit}", "code")
        receipt = load(place.runner.home / "receipt.json")
        assert receipt["tree"] == tree
        assert {(each["kind"], *each["left"], each["files"]) for each in receipt["conversions"]} == {
            ("working-tree-encoding", "a.odd", 0),
            ("working-tree-encoding", "b.latin", 0),
            ("eol", "mixed.bat", 0),
            ("ident", "old.c", 0),
        }
        for name, contents in blobs.items():
            assert files_of(place.runner.home / "code")[name.encode()][1] == contents
            assert f"'{name}' not converted to" in done.errors
        assert "unchanged" in place.runner.run("verify", f"{place.url}@{commit}", "code").text


@pytest.mark.slow
def test_a_part_is_converted_by_the_attributes_in_it(tmp_path: Path) -> None:
    files = {
        ".gitattributes": b"*.cmd eol=crlf\n",
        "sub/.gitattributes": b"*.bat eol=crlf\n",
        "sub/deep er/a.bat": b"a\n",
        "sub/b.cmd": b"b\n",
    }
    with world(tmp_path, "git", files=files) as place:
        place.register()
        place.manifest()
        receipt = place.runner.run("fetch", "--json", "--subdirectory", "sub", "run.json", "code").json()
        made = {path: contents for path, (_, contents) in files_of(place.runner.home / "code").items()}
        assert made == {b".gitattributes": b"*.bat eol=crlf\n", b"deep er/a.bat": b"a\r\n", b"b.cmd": b"b\n"}
        assert [(each["kind"], each["files"]) for each in receipt["conversions"]] == [("eol", 1)]
        verified = ("verify", "--strict", "--subdirectory", "sub", "run.json", "code")
        assert "unchanged" in place.runner.run(*verified).text
        (place.runner.home / "code/b.cmd").write_bytes(b"b\r\n")
        assert place.runner.run(*verified, check=False).status == 1


# --- what the user's filters and settings make of the snapshot ---------------------------------------------------


@pytest.fixture
def filtered(tmp_path: Path):
    with world(tmp_path, "file", files={".gitattributes": b"*.nb filter=strip\n", "a.nb": b"1\n"}) as place:
        place.register()
        yield place


def test_a_required_filter_whose_command_is_missing_is_named(filtered: World) -> None:
    filtered.checkout.git("config", "filter.strip.clean", "/nowhere/strip --now")
    filtered.checkout.git("config", "filter.strip.required", "true")
    filtered.checkout.write("b c.nb", b"2\n")
    says = ".nb' cannot be recorded: its filter 'strip' failed: external filter '/nowhere/strip --now' failed"
    here = filtered.checkout.path
    refused(filtered.user, "snapshot", cwd=here, watched=here, status=128, says=says, hint="filter.strip.clean")


def test_a_filter_that_is_missing_and_not_required_is_left_away_as_git_does(filtered: World) -> None:
    filtered.checkout.git("config", "filter.strip.clean", "/nowhere/strip")
    filtered.checkout.write("b c.nb", b"2\n")
    manifest = filtered.manifest()
    assert load(manifest)["code"]["snapshot"]["tree"] == filtered.checkout.tree()
    filtered.runner.run("fetch", manifest, "code")
    assert (filtered.runner.home / "code" / "b c.nb").read_bytes() == b"2\n"


def test_a_filter_that_is_there_gives_the_blob_that_travels(filtered: World) -> None:
    filtered.checkout.git("config", "filter.strip.clean", "tr 2 0")
    filtered.checkout.git("config", "filter.strip.smudge", "tr 0 2")
    filtered.checkout.git("config", "filter.strip.required", "true")
    filtered.checkout.write("b.nb", b"2\n")
    manifest = filtered.manifest()
    assert load(manifest)["code"]["snapshot"]["tree"] == filtered.checkout.tree()
    filtered.runner.run("fetch", manifest, "code")
    assert (filtered.runner.home / "code" / "b.nb").read_bytes() == b"0\n"


@pytest.mark.parametrize("autocrlf", ["true", "input"])
@pytest.mark.parametrize("safecrlf", ["false", "warn", "true"])
def test_the_users_line_ends_are_cleaned_as_git_add_does(filtered: World, autocrlf: str, safecrlf: str) -> None:
    """The tree id is of blobs: CRLF in the work tree, LF in the tree, on the runner, and nothing refused for it."""
    filtered.checkout.git("config", "core.autocrlf", autocrlf)
    filtered.checkout.git("config", "core.safecrlf", safecrlf)
    filtered.checkout.write("dos.txt", b"one\r\ntwo\r\n")
    filtered.checkout.write("mixed.txt", b"one\r\ntwo\n")
    manifest = filtered.manifest()
    tree = load(manifest)["code"]["snapshot"]["tree"]
    filtered.checkout.git("config", "core.safecrlf", "false")
    assert tree == filtered.checkout.tree()
    filtered.runner.run("fetch", manifest, "code")
    assert (filtered.runner.home / "code" / "dos.txt").read_bytes() == b"one\ntwo\n"
