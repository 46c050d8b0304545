"""What is refused ends with one `fatal:` line, a hint, the documented exit status, and nothing left behind.

`refused` asserts all of that: it compares everything below the machine's HOME (its TMPDIR, the targets and what is
beside them are there) before and after.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, altered, can_mount, lines, load, on_platforms, refused, world
from tests.forge import (
    BrokenGzip,
    Cut,
    Hangup,
    Html,
    Misbehaviour,
    MissingEntry,
    OtherCommit,
    Redirect,
    Status,
    WrongByte,
    closed_port,
)
from tests.hints import cures
from tests.support.marks import first_quick
from tests.support.repo import Repo

WRONG = {"CODEREPO_TOKEN": "ghp_wrong0wrong0wrong0"}


@pytest.fixture(scope="module", params=on_platforms("github", "gitlab"))
def hosted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A registered checkout, and its manifest `run.json` at the runner."""
    with world(tmp_path_factory.mktemp(request.param), request.param) as made:
        made.register()
        made.manifest()
        yield made


@pytest.fixture
def place(hosted: World) -> Iterator[World]:
    yield hosted
    hosted.forge.behave()


@pytest.fixture(scope="module")
def made_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("local"), "file") as made:
        made.manifest()
        yield made


@pytest.fixture
def local(made_local: World) -> Iterator[World]:
    """Without a network: what only the checkout or the manifest can be wrong in."""
    yield made_local
    made_local.checkout.git("reset", "--quiet", "--hard", made_local.base)
    made_local.checkout.git("clean", "-ffdxq")


def poor_token(place: World) -> dict[str, str]:
    """A token that is valid, and may do too little."""
    scopes = {"github": ["metadata:read"], "gitlab": ["read_user"]}[place.platform]
    return {"CODEREPO_TOKEN": place.forge.add_token(place.platform, scopes=scopes)}


# --- credentials and places -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("method", first_quick("auto", "archive"))
def test_a_wrong_token(place: World, method: str) -> None:
    asked = ("fetch", "--method", method, "run.json", "code")
    refused(place.runner, *asked, env=WRONG, status=4, says="refused the token from CODEREPO_TOKEN", hint="renew")


@pytest.mark.parametrize("method", first_quick("auto", "archive", "git"))
def test_a_token_without_the_scope(place: World, method: str) -> None:
    poor = poor_token(place)
    asked = ("fetch", "--method", method, "run.json", "code")
    # GitLab's git says no more than 401.
    says = "refused the token" if (method, place.platform) == ("git", "gitlab") else "may not read 'acme/widgets"
    refused(place.runner, *asked, env=poor, status=4, says=says)


def test_no_token_at_all(place: World) -> None:
    none = {"CODEREPO_TOKEN": ""}
    # A runner has no keyring for `login`.
    hint = "export CODEREPO_TOKEN_ORIGIN="
    refused(place.runner, "fetch", "run.json", "code", env=none, status=4, says="requires a credential", hint=hint)


@pytest.mark.slow
def test_a_registration_tells_a_wrong_token_a_scope_a_repository_and_a_host_apart(place: World) -> None:
    config = place.checkout.path / ".git" / "config"

    def asked(status: int, says: str, hint: str, *, url: str = "", env: dict[str, str] | None = None) -> None:
        if url:
            place.checkout.git("remote", "add", "elsewhere", url)
        before = config.read_bytes()
        words = ("register", "another", "--type", place.platform, "--remote", "elsewhere" if url else "origin")
        refused(place.user, *words, cwd=place.checkout.path, env=env, status=status, says=says, hint=hint)
        assert config.read_bytes() == before
        if url:
            place.checkout.git("remote", "remove", "elsewhere")

    asked(4, "refused the token from CODEREPO_TOKEN", "create a token at", env=WRONG)
    asked(4, "may not read 'acme/widgets'", "give the token", env=poor_token(place))
    asked(128, "no repository 'acme/wodgets'", "check the spelling", url=place.url.replace("widgets", "wodgets"))
    asked(128, "connection refused", "check the host", url=f"https://127.0.0.1:{closed_port()}/acme/widgets.git")
    asked(128, "unknown host name", "check the spelling", url="https://no-such-host.invalid/acme/widgets.git")
    asked(128, "certificate does not verify", "GIT_SSL_CAINFO", env={"GIT_SSL_CAINFO": ""})


@pytest.mark.parametrize("method", first_quick("auto", "archive"))
def test_a_missing_repository(place: World, method: str) -> None:
    manifest = altered(place.runner.home / "run.json", "repository", "remote", "path", to="/acme/wodgets.git")
    options = {**load(manifest)["repository"]["options"]}
    options["repository" if place.platform == "github" else "project"] = "wodgets"
    manifest = altered(manifest, "repository", "options", to=options)
    asked = ("fetch", "--method", method, manifest, "code")
    refused(place.runner, *asked, status=128, says="no repository 'acme/wodgets", hint="check the spelling")


@pytest.mark.slow
@pytest.mark.parametrize("method", first_quick("auto", "archive"))
def test_a_host_that_cannot_be_reached(place: World, method: str) -> None:
    gone = closed_port()
    text = (place.runner.home / "run.json").read_text().replace(str(place.forge.port), str(gone))
    manifest = place.runner.home / "gone.json"
    manifest.write_text(text)
    bound = {"CODEREPO_TOKEN_ORIGIN": f"https://127.0.0.1:{gone}"}
    asked = ("fetch", "--method", method, manifest, "code")
    refused(place.runner, *asked, env=bound, status=128, says="connection refused", hint="check the host")


def test_a_certificate_that_nobody_vouches_for(place: World) -> None:
    stranger = {"GIT_SSL_CAINFO": ""}
    asked = ("fetch", "run.json", "code")
    refused(place.runner, *asked, env=stranger, status=128, says="certificate does not verify", hint="GIT_SSL_CAINFO")


# --- what arrives is not what it should be ----------------------------------------------------------------

WRONG_ARCHIVES: dict[str, tuple[Misbehaviour, str]] = {
    "cut off": (Cut(after=100), "broke off"),
    "cut off, chunked": (Cut(after=100, framing="chunked"), "broke off"),
    "cut off, and ended as if that were all": (Cut(after=100, framing="terminated"), ""),
    "cut off, nothing announced": (Cut(after=100, framing="close"), ""),
    "a gzip that ends early": (BrokenGzip(), ""),
    "a gzip with a wrong bit": (BrokenGzip(truncated=False), ""),
    "a wrong byte": (WrongByte("train.py"), "fetched tree"),
    "a missing file": (MissingEntry("run.sh"), "fetched tree"),
    "a page with status 200": (Html(), "answered 200 with 'text/html'"),
    "a circle of redirects": (Redirect("loop"), "redirects in a circle"),
    "a redirect to plain http": (Redirect("http"), "which is not https"),
    "an error of the server": (Status(500), "answered 500"),
    "a reset connection": (Hangup(), "closed the connection"),
}


# GitLab gives its archives without a redirect; what arrives goes the same way.
ON_GITLAB = ("cut off", "a wrong byte", "a page with status 200", "a circle of redirects")
# Each is begun anew three times: those that end as another one does wait in `make test-all`.
MUCH_THE_SAME = (
    "cut off, chunked",
    "cut off, nothing announced",
    "a gzip with a wrong bit",
    "a redirect to plain http",
)
SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hosted", "name"),
    [
        *(pytest.param("github", name, marks=SLOW if name in MUCH_THE_SAME else ()) for name in WRONG_ARCHIVES),
        *(pytest.param("gitlab", name, marks=SLOW) for name in ON_GITLAB),
    ],
    indirect=["hosted"],
)
def test_a_wrong_archive_is_refused_and_git_stands_in(place: World, name: str) -> None:
    misbehaviour, says = WRONG_ARCHIVES[name]
    kind = "link" if place.platform == "github" and isinstance(misbehaviour, Redirect) else "archive"
    place.forge.misbehave(kind, misbehaviour, times=None)

    refused(place.runner, "fetch", "--method", "archive", "run.json", "code", status=128, says=says)

    said = place.runner.run("fetch", "--receipt", "receipt.json", "run.json", "code")
    receipt = load(place.runner.home / "receipt.json")
    assert receipt["method"] == "git"
    assert [each["method"] for each in receipt["fallbacks"]] == ["archive"]
    assert says in receipt["fallbacks"][0]["reason"]
    assert any(line.startswith("archive failed: ") and says in line for line in lines(said, "warning")), said.errors
    assert "by git" in said.text
    assert place.runner.tree("code") == place.checkout.tree()
    shutil.rmtree(place.runner.home / "code")
    (place.runner.home / "receipt.json").unlink()


def test_the_archive_of_another_commit(place: World) -> None:
    """P1: a platform that answers with something else than what was asked for is not believed."""
    other = Repo.clone(f"file://{place.repository.path}", place.root / "other", place.scratch.env)
    other.write("train.py", "lr = 100\n")
    commit = other.commit("another")
    other.git("push", "--quiet", "origin", "HEAD:refs/heads/other")
    place.forge.misbehave("archive", OtherCommit(commit))
    asked = ("fetch", "--method", "archive", "run.json", "code")
    refused(place.runner, *asked, status=128, says="fetched tree", hint="bytes that differ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "misbehaviour", [Html(), Redirect("loop"), Status(503), Hangup(), Redirect("http")], ids=lambda m: type(m).__name__
)
def test_a_platform_that_answers_nothing_sensible(place: World, misbehaviour: Misbehaviour) -> None:
    place.forge.misbehave("*", misbehaviour, times=None)
    said = refused(place.runner, "fetch", "run.json", "code", status=128, says="127.0.0.1", hint="")
    assert "'git fetch' failed" not in said.errors, "in words of our own"


@pytest.mark.slow
def test_a_pack_that_is_cut_off(place: World) -> None:
    place.forge.misbehave("git/upload-pack", Cut(after=50), times=None)
    asked = ("fetch", "--method", "git", "run.json", "code")
    refused(place.runner, *asked, status=128, says="broke off", hint="try again")


@pytest.mark.slow
def test_a_base_that_is_gone_from_the_platform(tmp_path: Path) -> None:
    """Z4, Z5: what only the platform knows is asked by --check, and said before the run starts."""
    with world(tmp_path, "gitlab") as place:
        place.register()
        place.checkout.write("train.py", "lr = 0.2\n")
        place.checkout.commit("second")
        place.push()
        manifest = place.manifest()
        place.repository.git("update-ref", "refs/heads/main", place.base)
        place.repository.prune()
        gone = place.checkout.head()

        refused(place.runner, "fetch", manifest, "code", status=128, says="has no", hint="push it again")

        status = place.user.run("status", "--check", "--exit-code", cwd=place.checkout.path, check=False)
        assert status.status == 1
        assert f"reproducible  no: the platform no longer has the commit {gone}" in status.text
        asked = ("snapshot", "--check")
        refused(
            place.user, *asked, cwd=place.checkout.path, status=128, says="no longer has the commit", hint="git fetch"
        )


# --- the manifest -------------------------------------------------------------------------------------------

BIG = b'{"padding": "' + b"x" * (4 << 20) + b'"}'


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "nothing in it": lambda data: b"",
    "half of it": lambda data: data[: len(data) // 2],
    "no JSON": lambda data: b"#!/bin/sh\n",
    "an array": lambda data: b"[]",
    "a wrong byte": lambda data: data.replace(b'"code"', b'"c\xffde"', 1),
    "a name twice": lambda data: data.replace(b'"dirty":', b'"dirty": true, "dirty":', 1),
    "a lone surrogate": lambda data: data.replace(b'"dirty":', b'"x": "\\ud800", "dirty":', 1),
    "not a number": lambda data: data.replace(b'"dirty":', b'"x": NaN, "dirty":', 1),
    "another major version": lambda data: data.replace(b'"1.1"', b'"2.0"', 1),
    "another schema": lambda data: data.replace(b"run-manifest:1", b"run-manifest:2", 1),
    "too large": lambda data: BIG,
    "without its code": lambda data: data.replace(b'"code":', b'"cod":', 1),
    "a secret's name": lambda data: data.replace(b'"name":null', b'"name": "x"', 1).replace(
        b'"type":"git"', b'"type":"{{my.token}}"', 1
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest(local: World, damage: str) -> None:
    data = (local.runner.home / "run.json").read_bytes()
    spoilt = DAMAGES[damage](data)
    if spoilt == data:  # the writer may put spaces where this file does not expect them
        spoilt = DAMAGES[damage](data.replace(b": ", b":"))
    assert spoilt not in (data, data.replace(b": ", b":"))
    manifest = local.runner.home / "damaged.json"
    manifest.write_bytes(spoilt)
    refused(local.runner, "fetch", manifest, "code", status=128, says="", hint=None)
    if damage == "half of it":
        refused(local.runner, "fetch", "-", "code", input=spoilt, status=128, says="", hint=None)


@pytest.mark.slow
@pytest.mark.parametrize("field", ["snapshot", "base", "overlay"])
def test_a_manifest_with_another_digest(local: World, field: str) -> None:
    """Whatever is changed in it, what comes out is what it says, or nothing."""
    local.checkout.write("train.py", "lr = 0.3\n")
    manifest = local.manifest(name="dirty.json")
    other = "0" * 40
    if field == "overlay":
        spoilt = altered(manifest, "code", "overlay", "tarSha256", to="0" * 64)
        refused(local.runner, "fetch", spoilt, "code", status=128, says="is not the recorded one", hint=None)
    elif field == "base":
        spoilt = altered(manifest, "code", "base", "commit", to=other)
        refused(local.runner, "fetch", spoilt, "code", status=128, says="no such commit", hint="push it again")
    else:
        document = load(manifest)
        document["code"]["subdirectory"]["tree"] = other
        document["code"]["snapshot"]["tree"] = other
        spoilt = altered(manifest, "code", to=document["code"])
        refused(local.runner, "fetch", spoilt, "code", status=128, says="fetched tree", hint="bytes that differ")


def test_a_manifest_that_is_not_there(local: World) -> None:
    refused(local.runner, "fetch", "no such.json", "code", status=128, says="no such.json", hint=None)


def test_a_protocol_that_the_runner_does_not_allow(local: World) -> None:
    asked = ("fetch", "run.json", "code")
    allowed = {"CODEREPO_ALLOW_PROTOCOL": ""}
    refused(local.runner, *asked, env=allowed, status=128, says="may not use 'file'", hint="CODEREPO_ALLOW_PROTOCOL")


def test_a_custom_class_that_the_runner_does_not_allow(local: World) -> None:
    document = load(local.runner.home / "run.json")["repository"]
    document.update(type="custom", source="os.path.Evil")
    manifest = altered(local.runner.home / "run.json", "repository", to=document)
    asked = ("fetch", manifest, "code")
    refused(local.runner, *asked, status=128, says="os.path.Evil", hint="CODEREPO_ALLOW_SOURCE")


@pytest.mark.slow
@cures("copy it into the manifest's folder, or name it: --overlay FILE")
def test_an_overlay_that_did_not_come_along(local: World) -> None:
    local.checkout.git("config", "coderepo.inlineLimit", "0")
    local.checkout.write("train.py", "lr = 0.4\n")
    manifest = local.manifest(name="apart.json")
    local.checkout.git("config", "--unset", "coderepo.inlineLimit")
    (overlay,) = local.runner.home.glob("*.tar.gz")
    elsewhere = local.runner.home / "elsewhere.tgz"
    overlay.rename(elsewhere)

    refused(local.runner, "fetch", manifest, "code", status=128, says=overlay.name, hint="--overlay FILE")

    damaged = local.runner.home / "damaged.tgz"
    damaged.write_bytes(elsewhere.read_bytes()[:-20])
    asked = ("fetch", "--overlay", damaged, manifest, "code")
    refused(local.runner, *asked, status=128, says="the overlay is not the recorded one", hint=None)
    missing = ("fetch", "--overlay", "no such file", manifest, "code")
    refused(local.runner, *missing, status=128, says="no such file", hint=None)

    said = local.runner.run("fetch", "--overlay", elsewhere, manifest, "found")
    assert str(elsewhere) in said.errors
    assert local.runner.tree("found") == local.checkout.tree()
    elsewhere.rename(overlay)
    local.runner.run("fetch", manifest, "copied")
    assert local.runner.tree("copied") == local.checkout.tree()
    overlay.unlink()


# --- the target ---------------------------------------------------------------------------------------------


def test_a_target_that_is_not_free(local: World) -> None:
    home = local.runner.home
    (home / "full").mkdir()
    (home / "full" / "mine.txt").write_text("precious\n")
    (home / "a file").write_text("precious\n")
    (home / "a link").symlink_to("full")
    (home / "hidden").mkdir()
    (home / "hidden" / ".keep").write_text("")

    for name, says in (
        ("full", "'full' is not empty"),
        ("hidden", "'hidden' is not empty"),
        ("a file", "is a file"),
        ("a link", "is a symbolic link"),
    ):
        refused(local.runner, "fetch", "run.json", name, status=128, says=says, hint="name ")
    refused(local.runner, "fetch", "run.json", "a file/code", status=128, says="a file", hint=None)
    refused(local.runner, "fetch", "run.json", "/proc/code", status=128, says="/proc", hint=None)
    assert (home / "full" / "mine.txt").read_text() == "precious\n"


@pytest.mark.slow
def test_a_file_larger_than_the_system_lets_it_be(local: World) -> None:
    limited = f"ulimit -f 1; exec {local.runner.program.executable().decode()} fetch run.json code"
    before = sorted(os.listdir(local.runner.home))
    done = subprocess.run(
        ["bash", "-c", limited], cwd=local.runner.home, env=local.runner.env, capture_output=True, text=True
    )
    assert done.returncode == 128, done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("fatal: ")]) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(local.runner.home)) == before
    assert os.listdir(local.runner.env["TMPDIR"]) == []


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="a small file system can be mounted by root only")
@pytest.mark.parametrize("target", ["disk/code", "disk"])
def test_a_full_disk(local: World, target: str) -> None:
    """The disk has room for some of the files, not for all; as a mount point, too, it is left as it was."""
    (local.runner.home / "disk").mkdir(exist_ok=True)
    local.checkout.write("large.bin", os.urandom(200_000))
    manifest = local.manifest(name="large.json")
    script = (
        'mount -t tmpfs -o size=96k none disk || exit 99; "$@"; status=$?; '
        "echo; find disk -mindepth 1 | sed 's/^/left: /'; exit $status"
    )
    command = [os.fsdecode(local.runner.program.executable()), "fetch", str(manifest), target]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *command],
        cwd=local.runner.home,
        env=local.runner.env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 128, done.stderr
    (said,) = (line for line in done.stderr.splitlines() if line.startswith("fatal: "))
    assert "no space left on the device" in said
    assert "left: " not in done.stdout
    assert os.listdir(local.runner.env["TMPDIR"]) == []


# --- what the machine or the words lack ---------------------------------------------------------------------


@pytest.mark.slow
def test_no_git_on_path(local: World, tmp_path: Path) -> None:
    empty = {"PATH": str(tmp_path)}
    program = local.user.program.executable()
    for words in (["status"], ["snapshot"], ["register"]):
        done = subprocess.run(
            [program, *words], cwd=local.checkout.path, env={**local.user.env, **empty}, capture_output=True, text=True
        )
        assert done.returncode == 128, done.stderr
        assert done.stderr.splitlines()[0] == "fatal: 'git' was not found on PATH"
        assert done.stderr.splitlines()[1] == "hint: install git 2.34 or newer, or add it to PATH"


@pytest.mark.slow
def test_a_runner_without_git_fetches_by_the_archive(place: World, tmp_path: Path) -> None:
    program = place.runner.program.executable()
    env = {**place.runner.env, "PATH": str(tmp_path)}
    done = subprocess.run(
        [program, "fetch", "--json", "run.json", "without git"],
        cwd=place.runner.home,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert '"method": "archive"' in done.stdout
    assert '"git": null' in done.stdout
    assert place.runner.tree("without git") == place.checkout.tree()
    word = f"{place.url}@{place.base}"
    done = subprocess.run(
        [program, "fetch", word, "by commit"], cwd=place.runner.home, env=env, capture_output=True, text=True
    )
    # The URL alone does not say which platform it is, and a plain Git remote needs git.
    assert done.returncode == 128, done.stderr
    assert done.stderr.startswith("fatal: 'git' was not found on PATH"), done.stderr
    assert "hint: install git" in done.stderr
    shutil.rmtree(place.runner.home / "without git")


def test_not_a_checkout(local: World) -> None:
    for words in (["status"], ["snapshot"], ["register"], ["list"], ["demo", "--here"]):
        said = refused(local.runner, *words, status=128, says="not a git repository", hint=None)
        assert said.stdout == b"" or words[0] == "demo"


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (["register", "other", "--type", "github", "--hosst=x"], "--hosst", "--host"),
        (["register", "other", "--type", "gitlab", "--instance_ur=x"], "--instance", "--instance-url"),
        (["register", "other", "--type", "githup"], "githup", "github"),
        (["fetch", "--metod", "git", "run.json", "code"], "--metod", "-h"),
        (["fetch", "--method", "achive", "run.json", "code"], "choose auto, local, store, archive, git", None),
        (["fetch", "run.json"], "DIR", "-h"),
        (["snapshto"], "snapshto", "snapshot"),
        (["list", "--sort", "nam"], "nam", "name"),
        (["completion", "ksh"], "ksh", "bash"),
    ],
)
def test_a_word_that_does_not_exist(local: World, words: list[str], says: str, hint: str | None) -> None:
    """Z9: ZenML stores a misspelt option silently."""
    status = 128 if words[-1] == "githup" else 129
    refused(local.user, *words, cwd=local.checkout.path, status=status, says=says, hint=hint)


def test_a_repository_that_is_not_registered(local: World) -> None:
    asked = ("fetch", "orogin@" + "1" * 40, "code")
    refused(local.runner, *asked, status=128, says="not found: 'orogin'", hint="git coderepo list")
    checkout: dict[str, Any] = {"cwd": local.checkout.path}
    asked_here = ("snapshot", "--code-repository", "orogin")
    refused(local.user, *asked_here, **checkout, status=128, says="not found: 'orogin'", hint="'origin'")


# --- the checkout --------------------------------------------------------------------------------------------


def not_reproducible(local: World, says: str, hint: str) -> None:
    """`snapshot` refuses, and `status` says why without failing."""
    checkout: dict[str, Any] = {"cwd": local.checkout.path}
    refused(local.user, "snapshot", **checkout, status=128, says=says, hint=hint)
    status = local.user.run("status", "--exit-code", **checkout, check=False)
    assert status.status == 1
    assert f"reproducible  no: {says}" in status.text or says in status.text
    assert local.user.run("status", **checkout).status == 0
    answer = local.user.run("status", "--json", **checkout).json()
    assert answer["reproducible"] is False
    assert says in answer["problem"]["message"]


def test_a_repository_inside_the_repository(local: World) -> None:
    inner = Repo.init(local.checkout.path / "vendor/inner lib", local.user.env)
    inner.commit("its own")
    not_reproducible(local, "'vendor/inner lib/' is a Git repository of its own", "git submodule add")


def test_a_token_about_to_travel(local: World) -> None:
    token = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7cF0iL3oR6"
    local.checkout.write("settings.py", f"import os\n\nTOKEN = '{token}'\n")
    not_reproducible(local, "a probable token would travel with the run: 'settings.py', line 3", "git config --add")
    seen = local.user.run("snapshot", cwd=local.checkout.path, check=False)
    assert token.encode() not in seen.stdout + seen.stderr


def test_a_pointer_of_git_lfs(local: World) -> None:
    local.checkout.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 12345\n"
    local.checkout.write("data/weights.bin", pointer)
    not_reproducible(local, "'data/weights.bin' is kept in Git LFS", "git lfs")


@pytest.mark.slow
def test_a_submodule_that_lost_its_repository(local: World) -> None:
    library = Repo.init(local.root / "a library", local.user.env)
    library.write("lib.py", "x = 1\n")
    library.commit("the library")
    local.checkout.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", library.path, "lib")
    local.user.run("snapshot", cwd=local.checkout.path)
    os.unlink(local.checkout.file("lib/.git"))
    not_reproducible(local, "in the submodule 'lib': it holds files, and its '.git' is gone", "git submodule update")
    local.checkout.remove("lib/lib.py")
    local.user.run("snapshot", cwd=local.checkout.path)


def test_more_than_the_limit_is_refused_not_cut_off(local: World) -> None:
    """P5: never silently less, and judged by the sizes before a byte is read."""
    local.checkout.git("config", "coderepo.overlayLimit", "1m")
    local.checkout.write("cache/big one.bin", b"\0" * (1 << 20))
    local.checkout.write("cache/small.bin", b"\0" * 1000)
    local.checkout.write("train.py", "lr = 0.5\n")
    not_reproducible(local, "more than the limit of 1.0 MiB: 'cache/' 1.0 MiB untracked", "coderepo.overlayLimit 2m")
    before = local.user.run("snapshot", cwd=local.checkout.path, check=False)
    assert "git coderepo ignore cache/" in before.errors
    local.checkout.git("config", "coderepo.overlayLimit", "2m")
    local.user.run("snapshot", cwd=local.checkout.path)
    local.checkout.git("config", "--unset", "coderepo.overlayLimit")


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_a_file_that_cannot_be_read(local: World) -> None:
    os.chmod(local.checkout.file("train.py"), 0)
    local.checkout.git("update-index", "--refresh", check=False)
    try:
        not_reproducible(local, "train.py", "make it readable")
    finally:
        os.chmod(local.checkout.file("train.py"), 0o644)
