"""A token bound to a path of a host stays below that path, whatever a manifest, a tree or the host itself says.

Each attack has a token for `https://HOST/acme`; no request outside of the repositories below `/acme` may carry it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import World, load, remove, world
from tests.forge.lfs import pointer, put
from tests.forge.misbehaviour import Redirect

WEIGHTS = b"weights" * 100


@pytest.fixture(scope="module", params=["github", pytest.param("gitlab", marks=pytest.mark.slow), "git"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A host with a repository of ours and one of somebody else's, and a runner whose token is for ours."""
    files = {".gitattributes": b"*.bin filter=lfs -text\n", "train.py": b"print(1)\n", "w.bin": pointer(WEIGHTS)}
    with world(tmp_path_factory.mktemp(request.param), request.param, files=files) as made:
        made.register()
        put(made.repository, WEIGHTS)
        made.forge.add_repository("victim/secret", platform=request.param, source=made.checkout.path)
        made.runner.program.env["CODEREPO_TOKEN_ORIGIN"] = f"{made.forge.url}/acme"
        made.manifest(name="honest.json")
        yield made


@pytest.fixture(autouse=True)
def tidy(shared: World) -> Iterator[None]:
    shared.forge.forget_requests()
    yield
    shared.forge.behave()
    shared.forge.lfs.href_extra.clear()
    remove(shared.runner.path("code"))


def hostile(here: World, **options: str) -> None:
    """`run.json` is the honest manifest with other options of the repository."""
    document: Any = load(here.runner.path("honest.json"))
    document["repository"]["options"].update(options)
    here.runner.path("run.json").write_text(json.dumps(document))


def strayed(here: World) -> list[str]:
    """The requests that carried the token and were about anything but our repository."""
    sent = [each for each in here.forge.requests() if each.carries(here.token)]
    return [each.target for each in sent if each.repository != "acme/widgets"]


def fetch(here: World, *words: str, file: str = "run.json") -> Any:
    return here.runner.run("fetch", *words, file, "code", check=False)


def test_the_token_works_where_it_belongs(shared: World) -> None:
    fetch(shared, file="honest.json")
    assert (shared.runner.path("code") / "w.bin").read_bytes() == WEIGHTS
    assert strayed(shared) == []
    assert any(each.carries(shared.token) for each in shared.forge.requests())


OWNERS = ["acme/../victim", "acme/%2e%2e/victim", "acme/%252e%252e/victim", "acme/..;/victim", "acme\\..\\victim",
          "acme/./../victim", "acme%2f..%2fvictim", "acme/\uff0e\uff0e/victim", "acme/.%2E/victim"]  # fmt: skip


@pytest.mark.parametrize("owner", OWNERS)
def test_dot_segments_in_an_owner(shared: World, owner: str) -> None:
    names = {"github": ("owner", "repository"), "gitlab": ("group", "project")}.get(shared.platform)
    if names is None:
        hostile(shared, url=f"{shared.forge.url}/{owner}/secret.git")
    else:
        hostile(shared, **{names[0]: owner, names[1]: "secret"})
    done = fetch(shared)
    assert done.status in (4, 128), done.errors
    assert strayed(shared) == []


@pytest.mark.parametrize("name", ["..", ".", "../../victim/secret", "%2e%2e/victim"])
def test_dot_segments_in_a_repository(shared: World, name: str) -> None:
    key = {"github": "repository", "gitlab": "project"}.get(shared.platform)
    if key is None:
        pytest.skip("a plain remote has no such option")
    hostile(shared, **{key: name})
    assert fetch(shared).status in (4, 128)
    assert strayed(shared) == []


@pytest.mark.parametrize(
    "root", ["victim", "victim/api/v3", "victim/secret/-/raw/main", "acme/../victim", "acme/%2e%2e/victim", "acme-too"]
)
def test_an_api_that_only_the_manifest_names(shared: World, root: str) -> None:
    key = {"github": "apiUrl", "gitlab": "instanceUrl"}.get(shared.platform)
    if key is None:
        pytest.skip("a plain remote has no API")
    hostile(shared, **{key: f"{shared.forge.url}/{root}"})
    fetch(shared, "--method", "archive")
    assert strayed(shared) == []


PLACES = ["/victim/secret", "/acme/%2e%2e/victim/secret", "/acme/..%2fvictim/secret", "/acme/%2E./victim/secret",
          "/acme/widgets/..\\..\\victim/secret", "/acme/..;x/victim/secret", "/acme%2f..%2fvictim/secret",
          "/acme/%252e%252e/victim/secret", "/acme/../victim/secret", "../../../../victim/secret",
          "/acme%2fvictim/secret"]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_redirect_on_the_same_host(shared: World, place: str) -> None:
    kinds = {"github": "link", "gitlab": "archive"}
    if shared.platform == "git":
        pytest.skip("git follows no redirect but the first: see below")
    shared.forge.misbehave(kinds[shared.platform], Redirect(place), times=None)
    hostile(shared)
    done = fetch(shared, "--method", "archive")
    assert done.status in (4, 128), done.errors
    assert strayed(shared) == []


def test_a_redirect_to_another_repository_of_the_api(shared: World) -> None:
    if shared.platform == "git":
        pytest.skip("a plain remote has no API")
    kind, place = {
        "github": ("link", f"/api/v3/repos/victim/secret/tarball/{shared.base}"),
        "gitlab": ("archive", f"/api/v4/projects/victim%2Fsecret/repository/archive.tar.gz?sha={shared.base}"),
    }[shared.platform]
    shared.forge.misbehave(kind, Redirect(place), times=1)
    hostile(shared)
    fetch(shared, "--method", "archive")
    assert strayed(shared) == []


def test_gits_own_redirect(shared: World) -> None:
    place = f"{shared.forge.url}/victim/secret.git/info/refs?service=git-upload-pack"
    shared.forge.misbehave("git/refs", Redirect(place), times=None)
    hostile(shared)
    fetch(shared, "--method", "git")
    assert strayed(shared) == []


@pytest.mark.parametrize("place", PLACES)
def test_where_an_lfs_object_is_said_to_be(shared: World, place: str) -> None:
    if place.startswith(".."):
        pytest.skip("an href is a whole URL")
    oid = put(shared.repository, WEIGHTS)
    shared.forge.lfs.href_extra[oid] = f"{shared.forge.url}{place}"
    hostile(shared)
    done = fetch(shared)
    assert done.status in (4, 128), done.errors
    assert strayed(shared) == []


@pytest.mark.parametrize(
    "place",
    [
        "/victim/secret.git/info/lfs",
        "/acme/../victim/secret.git/info/lfs",
        "/acme/%2e%2e/victim/secret.git/info/lfs",
        "/acme/widgets.git/../../victim/x.git",
        "/acme.git/secret.git/info/lfs",
        "/acme.git/secret",
    ],
)
def test_an_lfs_server_that_the_tree_names(shared: World, place: str) -> None:
    shared.checkout.write(".lfsconfig", f"[lfs]\n\turl = {shared.forge.url}{place}\n")
    try:
        shared.manifest()
    finally:
        shared.checkout.remove(".lfsconfig")
    done = fetch(shared)
    assert done.status in (4, 128), done.errors
    assert strayed(shared) == []


def test_a_runners_own_rule_vouches_for_an_api_below_a_path(tmp_path: Path) -> None:
    """What the user names is trusted: a token for a group works with an instance below a path."""
    with world(tmp_path, "gitlab") as made:
        made.forge.gitlab_root = "/gitlab"
        origin = f"{made.forge.url}/gitlab"
        made.runner.program.env["CODEREPO_TOKEN_ORIGIN"] = f"{origin}/acme"
        made.manifest()
        document = load(made.runner.path("run.json"))
        document["repository"].update(
            type="gitlab", options={"group": "acme", "project": "widgets", "instanceUrl": origin}
        )
        made.runner.path("run.json").write_text(json.dumps(document))
        fetch(made, "--method", "archive")
        assert not any(each.carries(made.token) for each in made.forge.requests())
        rule = f'[coderepo "{made.forge.url}"]\n\ttype = gitlab\n\tinstanceUrl = {origin}\n'
        made.runner.path(".gitconfig").write_text(rule)
        done = fetch(made, "--method", "archive")
        assert done.status == 0, done.errors
