"""Files in Git LFS: the tree has pointers, the runner has what they stand for, each object proved by its sha256."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, altered, load, on_platforms, problems, refused, remove, world
from tests.forge import Cut, Garbled, Hangup, Html, Redirect, RetryAfter, RewrittenTar, Status
from tests.forge.archives import with_lfs_contents
from tests.forge.lfs import object_path, pointer, put
from tests.hints import cures
from tests.support.program import Result

WEIGHTS = bytes(range(256)) * 700
ODD = b"odd name\n" * 20_000
TOOL = b"\x7fELF" + b"tool" * 9000
ATTRIBUTES = b"*.bin filter=lfs diff=lfs merge=lfs -text\ntool.sh filter=lfs -text\n*.txt text\n"
CONTENTS: dict[str | bytes, bytes] = {
    "data/weights.bin": WEIGHTS,
    "data/the same.bin": WEIGHTS,
    b"-odd \xe9\n.bin": ODD,
    "tool.sh": TOOL,
    "empty.bin": b"",
}
FILES: dict[str | bytes, bytes] = {
    ".gitattributes": ATTRIBUTES,
    "train.py": b"lr = 0.1\n",
    "no lfs.dat": pointer(WEIGHTS),  # looks like one, and is none by the attributes
    **{path: pointer(contents) if contents else b"" for path, contents in CONTENTS.items()},
}


def make(root: Path, platform: str, **options: Any) -> Iterator[World]:
    with world(root, platform, files=FILES, **options) as place:
        for contents in (WEIGHTS, ODD, TOOL):
            put(place.repository, contents)
        if platform in ("github", "gitlab"):
            place.register()
        yield place


@pytest.fixture(scope="module", params=on_platforms("git", "github", "gitlab"))
def each(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from make(tmp_path_factory.mktemp(f"lfs {request.param}"), request.param)


@pytest.fixture(scope="module")
def gitlab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from make(tmp_path_factory.mktemp("lfs"), "gitlab")


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from make(tmp_path_factory.mktemp("lfs"), "github")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from make(tmp_path_factory.mktemp("lfs"), "file")


@pytest.fixture(autouse=True)
def as_before(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    for name in ("each", "gitlab", "github", "local"):
        if name in request.fixturenames:
            place: World = request.getfixturevalue(name)
            place.forge.behave()
            place.forge.forget_requests()
            place.forge.lfs.asked.clear()
            place.forge.lfs.refused.clear()
            place.forge.lfs.href_extra.clear()
            place.forge.lfs.answer_extra.clear()
            place.forge.lfs.ranges = True
            place.checkout.git("checkout", "--quiet", "--force", "-B", "main", place.base)
            place.checkout.git("clean", "-fdq")


def target(place: World) -> Path:
    return place.runner.home / f"code {len(list(place.runner.home.iterdir()))}"


def fetched(place: World, manifest: Path, *arguments: str) -> Any:
    """The receipt; every file of the LFS has its contents, and the directory verifies."""
    code = target(place)
    receipt_file = place.runner.home / "receipt.json"
    receipt = place.runner.run("fetch", "--json", "--receipt", receipt_file, *arguments, manifest, code).json()
    assert problems(place.runner, receipt_file) == []
    for path, contents in CONTENTS.items():
        name = os.path.join(os.fsencode(code), os.fsencode(path))
        with open(name, "rb") as file:
            assert file.read() == contents, path
        assert bool(os.stat(name).st_mode & 0o100) == (path == "tool.sh")
    assert (code / "no lfs.dat").read_bytes() == FILES["no lfs.dat"]
    assert place.runner.run("verify", "--strict", manifest, code).text.endswith("unchanged\n")
    return receipt


def not_fetched(place: World, manifest: Path, says: str, *, hint: str | None = "", status: int = 128) -> Result:
    return refused(place.runner, "fetch", manifest, target(place), status=status, says=says, hint=hint)


# --- from the server ------------------------------------------------------------------------------


def test_a_clean_checkout_comes_back_with_its_contents(each: World) -> None:
    manifest = each.manifest()
    code = load(manifest)["code"]
    assert (code["overlay"], code["lfs"], code["dirty"]) == (None, None, False)
    receipt = fetched(each, manifest)
    assert receipt["tree"] == code["head"]["tree"]
    size = len(WEIGHTS) + len(ODD) + len(TOOL)
    assert receipt["lfs"] == {"state": "fetched", "files": 4, "objects": 3, "travelled": 0, "bytes": size}
    assert each.forge.lfs.asked == [3] and each.forge.lfs.refs[-1] == "refs/heads/main"
    assert each.forge.origins_that_saw(each.token) == {each.forge.url}, "the token went elsewhere"
    assert each.forge.origins_that_saw(each.forge.lfs.secret) <= {each.forge.url}


def test_pointers_are_left_where_that_is_asked_for(each: World) -> None:
    manifest, code = each.manifest(), target(each)
    said = each.runner.run("fetch", "--no-lfs", manifest, code)
    assert "warning: 4 Git LFS files left as pointers" in said.errors
    for path in FILES:
        with open(os.path.join(os.fsencode(code), os.fsencode(path)), "rb") as file:
            assert file.read() == FILES[path]
    assert each.forge.lfs.asked == []
    each.runner.run("verify", "--strict", manifest, code)
    receipt = each.runner.run("fetch", "--json", "--no-lfs", manifest, target(each)).json()
    assert receipt["lfs"]["state"] == "pointers" and receipt["lfs"]["files"] == 4


@pytest.mark.slow
def test_the_cache_has_the_contents_and_no_pointers(gitlab: World, tmp_path: Path) -> None:
    manifest, env = gitlab.manifest(), {"CODEREPO_CACHE_DIR": str(tmp_path / "cache")}
    gitlab.runner.run("fetch", "--cache", manifest, target(gitlab), env=env)
    gitlab.forge.lfs.asked.clear()
    code = target(gitlab)
    receipt = gitlab.runner.run("fetch", "--json", manifest, code, env=env).json()
    assert receipt["cacheHit"] and gitlab.forge.lfs.asked == []
    assert (code / "data/weights.bin").read_bytes() == WEIGHTS
    left = target(gitlab)
    receipt = gitlab.runner.run("fetch", "--json", "--no-lfs", manifest, left, env=env).json()
    assert not receipt["cacheHit"] and (left / "data/weights.bin").read_bytes() == pointer(WEIGHTS)
    asked = ("fetch", "--cache", "--no-lfs", manifest, target(gitlab))
    refused(gitlab.runner, *asked, env=env, status=129, says="mutually exclusive", hint=None)


def test_a_commit_without_a_manifest_comes_with_its_contents(each: World) -> None:
    code = target(each)
    each.runner.run("fetch", f"{each.url}@{each.base}", code)
    assert (code / "data" / "weights.bin").read_bytes() == WEIGHTS


def test_a_download_that_is_cut_goes_on_where_it_was(each: World) -> None:
    manifest = each.manifest()
    each.forge.misbehave("lfs/object", Cut(after=20_000), times=2)
    fetched(each, manifest)
    resumed = [entry.headers.get("range") for entry in each.forge.requests("lfs/object") if "range" in entry.headers]
    # Both cuts may fall on one object: several come at the same time.
    assert resumed in (["bytes=20000-", "bytes=20000-"], ["bytes=20000-", "bytes=40000-"])


@pytest.mark.slow
def test_a_server_that_gives_no_parts_is_asked_for_the_whole_again(gitlab: World) -> None:
    manifest = gitlab.manifest()
    gitlab.forge.lfs.ranges = False
    gitlab.forge.misbehave("lfs/object", Cut(after=20_000), times=1)
    gitlab.forge.misbehave("lfs/object", Cut(after=10_000, framing="terminated"), times=1)
    fetched(gitlab, manifest)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lfs/object", "lfs/batch"])
def test_a_server_that_stumbles_is_asked_again(gitlab: World, kind: str) -> None:
    manifest = gitlab.manifest()
    gitlab.forge.misbehave(kind, Status(502))
    gitlab.forge.misbehave(kind, Cut(after=10))
    gitlab.forge.misbehave(kind, Hangup())
    gitlab.forge.misbehave(kind, RetryAfter(1))
    fetched(gitlab, manifest)


def test_wrong_bytes_are_asked_for_once_more(gitlab: World) -> None:
    manifest = gitlab.manifest()
    gitlab.forge.misbehave("lfs/object", Garbled(), times=1)
    fetched(gitlab, manifest)


def test_wrong_bytes_that_stay_wrong_are_refused_by_name(gitlab: World) -> None:
    manifest = gitlab.manifest()
    gitlab.forge.misbehave("lfs/object", Garbled(), times=None)
    not_fetched(gitlab, manifest, "does not match its Git LFS pointer", hint=None)


@pytest.mark.slow
def test_a_download_that_never_comes_is_given_up(gitlab: World) -> None:
    manifest = gitlab.manifest()
    gitlab.forge.misbehave("lfs/object", Cut(after=0), times=None)
    not_fetched(gitlab, manifest, "from the Git LFS server completely", hint="try again")


@pytest.mark.slow
@cures("fetch the pointers as they are: --no-lfs")
def test_what_the_server_lacks_or_keeps_locked_is_named(each: World) -> None:
    manifest = each.manifest()
    oid = pointer(ODD).split(b"sha256:")[1][:64].decode()
    each.forge.lfs.refused[oid] = (403, "under legal hold")
    weights = object_path(each.repository, pointer(WEIGHTS).split(b"sha256:")[1][:64].decode())
    weights.rename(weights.with_suffix(".away"))
    try:
        said = not_fetched(each, manifest, "cannot get Git LFS objects from", hint="--no-lfs")
        each.runner.run("fetch", "--no-lfs", manifest, "pointers")
        assert (each.runner.path("pointers") / "data/the same.bin").read_bytes().startswith(b"version https://git-lfs")
        remove(each.runner.path("pointers"))
    finally:
        weights.with_suffix(".away").rename(weights)
    assert "'data/the same.bin' (the server does not have it: Object does not exist on the server)" in said.errors
    assert "(it is locked out: under legal hold)" in said.errors and "tool.sh" not in said.errors


@pytest.mark.slow
def test_a_link_that_is_no_longer_good_is_asked_for_again(github: World) -> None:
    manifest = github.manifest()
    github.forge.lfs.lifetime = -1
    try:
        not_fetched(github, manifest, "answered 403 to", hint="--no-lfs")
    finally:
        github.forge.lfs.lifetime = 300
    github.forge.lfs.asked.clear()
    github.forge.misbehave("lfs/object", Status(403), times=1)
    fetched(github, manifest)
    assert github.forge.lfs.asked == [3, 1]


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"transfer": "tus"}, "transfer that is not supported"),
        ({"hash_algo": "sha512"}, "another hash"),
        ({"objects": 1}, "a list"),
    ],
)
def test_an_answer_that_was_not_asked_for(gitlab: World, extra: dict[str, object], says: str) -> None:
    manifest = gitlab.manifest()
    gitlab.forge.lfs.answer_extra = extra
    not_fetched(gitlab, manifest, says, hint=None)


@pytest.mark.parametrize(
    ("answer", "says", "status"),
    [
        (Status(404, b'{"message": "LFS is disabled"}'), "has no Git LFS for this repository", 128),
        (Status(422, b'{"message": "no such operation"}'), "answered 422: no such operation", 128),
        (Status(403, b'{"message": "over its data quota"}'), "over its data quota", 4),
        (Status(401), "refused the token from", 4),
        (Html(), "with 'text/html' where JSON was asked for", 128),
    ],
)
def test_a_server_that_refuses_is_quoted(gitlab: World, answer: Any, says: str, status: int) -> None:
    manifest = gitlab.manifest()
    gitlab.forge.misbehave("lfs/batch", answer, times=None)
    not_fetched(gitlab, manifest, says, hint=None, status=status)


@pytest.mark.slow
def test_many_objects_are_asked_for_a_hundred_at_a_time(tmp_path: Path) -> None:
    numbers = {f"many/{number:03}.bin": b"%d\n" % number * 50 for number in range(230)}
    files = {".gitattributes": ATTRIBUTES, **{path: pointer(contents) for path, contents in numbers.items()}}
    with world(tmp_path, "git", files=files) as place:
        for contents in numbers.values():
            put(place.repository, contents)
        manifest = place.manifest()
        place.runner.run("fetch", manifest, "code")
        assert place.forge.lfs.asked == [100, 100, 30]
        for path, contents in numbers.items():
            assert (place.runner.home / "code" / path).read_bytes() == contents
        place.forge.lfs.asked.clear()
        place.forge.lfs.most = 60  # 413 above it
        place.runner.run("fetch", manifest, "again")
        assert place.forge.lfs.asked == [100, 50, 50, 100, 50, 50, 30]


# --- who is told what -----------------------------------------------------------------------------


def test_a_redirect_to_another_host_takes_no_header_along(gitlab: World) -> None:
    manifest = gitlab.manifest()
    gitlab.forge.misbehave("lfs/object", Redirect("evil"), times=None)
    not_fetched(gitlab, manifest, "answered 401 to", hint=None)
    assert gitlab.forge.requests(listener="evil"), "nothing was tried there"
    for secret in (gitlab.token, gitlab.forge.lfs.secret):
        assert gitlab.forge.evil_url not in gitlab.forge.origins_that_saw(secret)


def test_an_object_on_another_host_is_asked_for_without_our_credential(each: World) -> None:
    manifest = each.manifest()
    oid = pointer(ODD).split(b"sha256:")[1][:64].decode()
    each.forge.lfs.href_extra[oid] = f"{each.forge.evil_url}/x"
    # GitLab gave a header of its own to send there; it is thanked for it, and the answer is no object.
    not_fetched(each, manifest, "does not match its" if each.platform == "gitlab" else "answered 401 to", hint=None)
    assert each.forge.requests(listener="evil")
    assert each.forge.evil_url not in each.forge.origins_that_saw(each.token)


@pytest.mark.slow
def test_an_object_is_not_asked_for_without_encryption(gitlab: World) -> None:
    manifest = gitlab.manifest()
    oid = pointer(ODD).split(b"sha256:")[1][:64].decode()
    for href in (f"{gitlab.forge.plain_url}/x", "file:///etc/passwd", "http://git.corp/x"):
        gitlab.forge.lfs.href_extra[oid] = href
        refused(gitlab.runner, "fetch", manifest, target(gitlab), status=128, says="'", hint=None)
    assert gitlab.forge.requests(listener="plain") == []


def test_without_a_credential_it_says_what_is_missing(gitlab: World) -> None:
    manifest = gitlab.manifest()
    gitlab.repository.private = False  # the code itself is public here, what LFS keeps is not
    gitlab.forge.misbehave("lfs/batch", Status(401, b'{"message": "Credentials needed"}'), times=None)
    try:
        nobody = {"CODEREPO_TOKEN": "", "CODEREPO_TOKEN_ORIGIN": ""}
        says = "requires a credential: Credentials needed"
        refused(
            gitlab.runner,
            "fetch",
            manifest,
            target(gitlab),
            status=4,
            says=says,
            hint="CODEREPO_TOKEN_ORIGIN",
            env=nobody,
        )
    finally:
        gitlab.repository.private = True


def test_a_tracked_lfsconfig_may_name_a_server_but_gets_no_credential_elsewhere(gitlab: World) -> None:
    gitlab.checkout.write(".lfsconfig", f'[lfs]\n\turl = "{gitlab.forge.evil_url}/lfs" ; there\n')
    manifest = gitlab.manifest()
    not_fetched(gitlab, manifest, "requires a credential", hint="--no-lfs", status=4)
    assert gitlab.forge.evil_url not in gitlab.forge.origins_that_saw(gitlab.token)
    assert gitlab.forge.lfs.asked == []


def test_a_tracked_lfsconfig_on_the_same_host_is_asked_with_it(gitlab: World) -> None:
    other = gitlab.forge.repository("acme/objects") or gitlab.forge.add_repository("acme/objects", platform="gitlab")
    for contents in (WEIGHTS, ODD, TOOL):
        put(other, contents)
    gitlab.checkout.write(".lfsconfig", f"[lfs]\nurl={gitlab.forge.url}/acme/objects.git/info/lfs\n")
    fetched(gitlab, gitlab.manifest())
    assert [entry.repository for entry in gitlab.forge.requests("lfs/batch")] == ["acme/objects"]


# --- what travels ---------------------------------------------------------------------------------


def keep(place: World, contents: bytes) -> bytes:
    """The user's own git-lfs has this object; its pointer."""
    text = pointer(contents)
    oid = text.split(b"sha256:")[1][:64].decode()
    path = place.checkout.git_dir() / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)
    return text


NEW = b"new weights " * 3000


@pytest.mark.slow
@pytest.mark.parametrize("inline", [True, False])
def test_what_was_never_pushed_travels_with_the_run(each: World, inline: bool) -> None:
    text = keep(each, NEW)
    each.checkout.write("data/new \xe9.bin", text)
    each.checkout.write(b"-odd \xe9\n.bin", text)
    each.checkout.git("mv", "data/weights.bin", "data/moved.bin")  # its object is not new
    each.checkout.commit("never pushed")
    if not inline:
        each.checkout.git("config", "coderepo.inlineLimit", "0")
    manifest = each.manifest(name="inside.json" if inline else "beside.json")
    each.checkout.git("config", "--unset-all", "coderepo.inlineLimit", check=False)
    lfs = load(manifest)["code"]["lfs"]
    assert [one["size"] for one in lfs["objects"]] == [len(NEW)] and ("data" in lfs) == inline
    code = target(each)
    receipt = each.runner.run("fetch", "--json", manifest, code).json()
    size = len(WEIGHTS) + len(TOOL)
    assert receipt["lfs"] == {"state": "fetched", "files": 5, "objects": 3, "travelled": 1, "bytes": size}
    assert (code / "data" / "new \xe9.bin").read_bytes() == NEW
    with open(os.fsencode(code) + b"/-odd \xe9\n.bin", "rb") as file:
        assert file.read() == NEW
    assert (code / "data" / "moved.bin").read_bytes() == WEIGHTS
    each.runner.run("verify", "--strict", manifest, code)


def test_a_tar_that_was_left_behind_is_named(local: World) -> None:
    local.checkout.write("data/new.bin", keep(local, NEW))
    local.checkout.git("config", "coderepo.inlineLimit", "0")
    manifest = local.manifest()
    local.checkout.git("config", "--unset-all", "coderepo.inlineLimit")
    name = load(manifest)["code"]["lfs"]["sha256"] + ".tar.gz"
    (local.runner.home / name).unlink()
    not_fetched(local, manifest, "'data/new.bin' (not found)", hint=f"'{name}' travels with the run")


def test_a_damaged_object_is_refused_wherever_it_comes_from(local: World) -> None:
    local.checkout.write("data/new.bin", keep(local, NEW))
    manifest = local.manifest()
    lfs = load(manifest)["code"]["lfs"]
    other = altered(manifest, "code", "lfs", "tarSha256", to="0" * 64)
    not_fetched(local, other, "the sha256 of its tar differs", hint=None)
    assert lfs["tarSha256"] != "0" * 64
    oid = lfs["objects"][0]["oid"]
    kept = local.checkout.git_dir() / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
    kept.write_bytes(NEW[:-1] + b"?")
    says = "the Git LFS object of 'data/new.bin' is damaged here"
    refused(local.user, "snapshot", status=128, says=says, hint="git lfs fsck", cwd=local.checkout.path)


def test_the_same_objects_make_the_same_tar(local: World) -> None:
    local.checkout.write("data/b.bin", keep(local, NEW))
    local.checkout.write("data/a.bin", keep(local, NEW * 2))
    first = load(local.manifest())["code"]["lfs"]
    local.checkout.git("mv", "--force", "-k", "data/a.bin", "data/c.bin")
    local.checkout.write("train.py", "lr = 0.2\n")
    assert load(local.manifest())["code"]["lfs"] == first


def test_an_object_that_is_nowhere_is_refused_before_the_run(local: World) -> None:
    local.checkout.write("data/lost.bin", pointer(b"lost" * 5000))
    says = "'data/lost.bin' is kept in Git LFS, but its contents are not here, and may not be on the platform"
    refused(local.user, "snapshot", status=128, says=says, hint="git lfs pull", cwd=local.checkout.path)
    said = local.user.run("status", cwd=local.checkout.path, check=False)
    assert "'data/lost.bin' is kept in Git LFS" in said.text


def test_a_token_in_what_git_lfs_keeps_stops_the_run(local: World) -> None:
    token = "ghp_" + "0123456789abcdefghijABCDEFGHIJ123456"
    local.checkout.write("data/notes.bin", keep(local, b"x" * 5000 + b"\n" + token.encode() + b"\n"))
    says = "a probable token would travel with the run: 'data/notes.bin', line 2"
    refused(local.user, "snapshot", status=128, says=says, cwd=local.checkout.path)


def test_what_is_too_large_to_travel_is_refused_with_its_folder(local: World) -> None:
    local.checkout.write("big files/new.bin", keep(local, bytes(3 << 20)))
    local.checkout.commit("never pushed")
    env = {"CODEREPO_OVERLAY_LIMIT": "1m"}
    says = "3.0 MiB of changes would be stored with the run, more than the limit of 1.0 MiB: 'big files/' 3.0 MiB"
    refused(local.user, "snapshot", status=128, says=says, hint="git push", cwd=local.checkout.path, env=env)


@pytest.mark.slow
def test_git_lfs_that_is_not_set_up_is_named(local: World) -> None:
    """git takes the contents into the tree then, and so does the snapshot: it is what ran, and it comes back."""
    raw = b"not a pointer" * 100
    local.checkout.write("data/raw.bin", raw)
    local.checkout.write("data/weights.bin", raw)  # a pointer in HEAD
    says = "warning: Git LFS is configured for 'data/raw.bin' and 1 more, but git-lfs is not set up here"
    assert says in local.user.run("status", "--exit-code", cwd=local.checkout.path).errors
    for committed in (False, True):
        tree = local.checkout.tree()
        manifest, code = local.manifest(), target(local)
        assert load(manifest)["code"]["snapshot"]["tree"] == tree
        local.runner.run("fetch", manifest, code)
        assert (code / "data" / "raw.bin").read_bytes() == raw == (code / "data" / "weights.bin").read_bytes()
        assert (code / "data" / "the same.bin").read_bytes() == WEIGHTS
        local.runner.run("verify", "--strict", manifest, code)
        (code / "data" / "raw.bin").write_bytes(raw + b"!")
        assert local.runner.run("verify", manifest, code, check=False).text == "changed: data/raw.bin\n"
        if not committed:
            local.checkout.commit("it is in the tree itself")


@pytest.mark.slow
def test_check_asks_the_lfs_server_and_what_it_lacks_travels_or_is_named(each: World) -> None:
    """A clean checkout whose objects somebody pushed with `--no-verify`, or that were cleaned up since."""
    repo, oid = each.checkout, pointer(ODD).split(b"sha256:")[1][:64].decode()
    each.forge.lfs.refused[oid] = (404, "Object does not exist on the server")
    asked = ("snapshot", "--check")
    says = "'-odd \\xe9\\n.bin' is kept in Git LFS, but the platform does not serve it (the server does not have it"
    said = refused(each.user, *asked, status=128, says=says, hint="git lfs push --all REMOTE", cwd=repo.path)
    assert each.forge.lfs.asked == [3] and "travel" not in said.errors
    status = each.user.run("status", "--check", "--exit-code", cwd=repo.path, check=False)
    assert status.status == 1 and "reproducible  no: '-odd" in status.text, status.text
    each.user.run("status", "--exit-code", cwd=repo.path)  # nobody was asked: it is taken to be there
    keep(each, ODD)
    manifest = each.manifest("--check")
    code = load(manifest)["code"]
    assert problems(each.runner, manifest) == []
    assert (code["overlay"], code["dirty"], [one["oid"] for one in code["lfs"]["objects"]]) == (None, False, [oid])
    assert fetched(each, manifest)["lfs"]["travelled"] == 1
    repo.write("data/new.bin", keep(each, NEW))  # together with what was never pushed
    repo.write("data/again.bin", pointer(ODD))
    manifest, there = each.manifest("--check", name="dirty.json"), target(each)
    assert len(load(manifest)["code"]["lfs"]["objects"]) == 2 and load(manifest)["code"]["overlay"]["files"] == 2
    each.runner.run("fetch", manifest, there)
    assert (there / "data" / "again.bin").read_bytes() == ODD and (there / "data" / "new.bin").read_bytes() == NEW
    (repo.git_dir() / "lfs" / "objects" / oid[:2] / oid[2:4] / oid).unlink()  # the next story has it on the server


def test_check_where_the_server_is_a_folder_or_has_no_lfs(local: World, gitlab: World) -> None:
    lost = object_path(local.repository, pointer(TOOL).split(b"sha256:")[1][:64].decode())
    lost.rename(lost.with_suffix(".away"))
    try:
        says = "'tool.sh' is kept in Git LFS, but the platform does not serve it (it is not there)"
        refused(local.user, "snapshot", "--check", status=128, says=says, hint="push", cwd=local.checkout.path)
    finally:
        lost.with_suffix(".away").rename(lost)
    local.manifest("--check")
    gitlab.forge.misbehave("lfs/batch", Status(404), times=None)
    says = "has no Git LFS for this repository"
    refused(gitlab.user, "snapshot", "--check", status=128, says=says, hint="push", cwd=gitlab.checkout.path)


@pytest.mark.slow
def test_a_recorded_run_comes_back_from_the_checkout_itself(local: World) -> None:
    local.checkout.write("data/new.bin", keep(local, NEW))
    local.checkout.git("config", "coderepo.inlineLimit", "0")
    local.user.run("run", "--", "true", cwd=local.checkout.path)
    local.checkout.git("config", "--unset-all", "coderepo.inlineLimit")
    local.user.run("prune", cwd=local.checkout.path)
    assert "1 Git LFS object" in local.user.run("show", cwd=local.checkout.path).text
    code = local.user.home / "from here"
    local.user.run("fetch", "@{-1}", code, cwd=local.checkout.path)
    assert (code / "data" / "new.bin").read_bytes() == NEW
    assert (code / "data" / "weights.bin").read_bytes() == WEIGHTS


# --- proofs ---------------------------------------------------------------------------------------


def with_contents(tar: bytes) -> bytes:
    given = {pointer(contents): contents for contents in CONTENTS.values() if contents}
    return with_lfs_contents(tar, given, but="no lfs.dat")


@pytest.mark.parametrize("platform", on_platforms("gitlab", "github"))
def test_an_archive_that_holds_the_contents_verifies_as_well(request: pytest.FixtureRequest, platform: str) -> None:
    place: World = request.getfixturevalue(platform)
    place.checkout.write("train.py", "lr = 0.3\n")
    manifest = place.manifest()
    assert load(manifest)["code"]["base"]["archive"] == "exact"
    place.forge.misbehave("archive", RewrittenTar(with_contents), times=None)
    receipt = fetched(place, manifest, "--method", "archive")
    assert receipt["method"] == "archive" and receipt["lfs"]["bytes"] == 0 and place.forge.lfs.asked == []


def test_what_is_changed_afterwards_is_named(local: World) -> None:
    manifest, code = local.manifest(), target(local)
    local.runner.run("fetch", manifest, code)
    (code / "data" / "weights.bin").write_bytes(WEIGHTS[:-1] + b"!")
    (code / "empty.bin").write_bytes(b"no longer")
    (code / "tool.sh").unlink()
    said = local.runner.run("verify", manifest, code, check=False, cwd=local.checkout.path)
    assert said.status == 1
    assert said.text.splitlines() == ["changed: data/weights.bin", "changed: empty.bin", "missing: tool.sh"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\next-0-case sha256:" + b"0" * 64 + b"\n",
            "with extensions: only the programs that wrote them",
        ),
        (b"", "is a Git LFS pointer that is not as git-lfs writes it"),
    ],
    ids=["extensions", "not canonical"],
)
def test_a_pointer_that_cannot_be_proved_is_refused_by_name(local: World, text: bytes, says: str) -> None:
    proper = pointer(NEW)
    strange = proper.replace(b"\n", b"\r\n") if not text else text + proper.split(b"\n", 1)[1]
    local.checkout.write("data/strange.bin", strange)
    refused(local.user, "snapshot", status=128, says=says, hint="--allow-unreproducible", cwd=local.checkout.path)
    local.checkout.commit("it is on the platform already")
    local.push()
    try:
        manifest = local.manifest()
        assert "'data/strange.bin'" in not_fetched(local, manifest, says, hint="--no-lfs").errors
        local.runner.run("fetch", "--no-lfs", manifest, target(local))
    finally:
        local.checkout.git("reset", "--quiet", "--hard", local.base)
        local.push()


def test_a_part_comes_with_its_contents_by_the_attributes_above_it(local: World) -> None:
    manifest, code = local.manifest(), target(local)
    part = ("--subdirectory", "data")
    receipt = local.runner.run("fetch", "--json", *part, manifest, code).json()
    assert (receipt["lfs"]["files"], receipt["lfs"]["objects"]) == (2, 1)
    assert sorted(os.listdir(code)) == ["the same.bin", "weights.bin"]
    assert (code / "weights.bin").read_bytes() == WEIGHTS
    local.runner.run("verify", "--strict", *part, manifest, code)
    (code / "weights.bin").write_bytes(WEIGHTS + b"!")
    said = local.runner.run("verify", *part, manifest, code, check=False)
    assert said.status == 1 and said.text == "changed: weights.bin\n"


def test_a_run_that_looks_at_a_part_alone_has_its_contents(local: World) -> None:
    local.checkout.write("data/new.bin", keep(local, NEW))
    local.checkout.write("elsewhere/lost.bin", pointer(b"a colleague's, and nowhere" * 100))
    local.checkout.git("config", "coderepo.scope", "data")
    try:
        manifest, code = local.manifest(), target(local)
    finally:
        local.checkout.git("config", "--unset-all", "coderepo.scope")
    local.runner.run("fetch", manifest, code)
    assert (code / "data" / "weights.bin").read_bytes() == WEIGHTS
    assert (code / "data" / "new.bin").read_bytes() == NEW


def test_a_sha256_repository(tmp_path: Path) -> None:
    for place in make(tmp_path, "git", object_format="sha256"):
        receipt = fetched(place, place.manifest())
        assert receipt["lfs"]["objects"] == 3 and len(receipt["tree"]) == 64
