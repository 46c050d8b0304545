"""Remote URLs of servers of one's own, of pages that a browser shows, and of what is no place at all."""

from __future__ import annotations

import json

import pytest

from git_coderepo.errors import InvalidManifest, InvalidRemoteURL
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import RemoteURL, remotes_of
from git_coderepo.manifest.model import Manifest
from git_coderepo.platforms.registry import platform_class
from git_coderepo.settings import Settings
from tests.support.manifests import example_document
from tests.support.repo import Repo


@pytest.mark.parametrize(
    ("text", "owner", "repository"),
    [
        # `scm` is Bitbucket Server's only at the start, or below its context path.
        ("https://git.kernel.org/pub/scm/git/git.git", "pub/scm/git", "git"),
        ("https://kernel.googlesource.com/pub/scm/git/git", "pub/scm/git", "git"),
        ("https://git.corp/srv/data/scm/team/tool", "srv/data/scm/team", "tool"),
        ("https://bb.corp/scm/PRJ/repo.git", "PRJ", "repo"),
        ("https://corp.com/stash/scm/PRJ/repo.git", "PRJ", "repo"),
        # Azure DevOps Server, also over ssh and with pages below.
        ("https://tfs.corp/tfs/DefaultCollection/Project/_git/Repo", "tfs/DefaultCollection/Project", "Repo"),
        ("https://tfs.corp:8080/Collection/My%20Project/_git/My%20Repo", "Collection/My Project", "My Repo"),
        ("ssh://tfs.corp:22/Collection/Project/_git/Repo", "Collection/Project", "Repo"),
        ("https://tfs.corp/Collection/Project/_git/_optimized/Repo", "Collection/Project", "Repo"),
        ("https://dev.azure.com/org/project/_git/_full/repo", "org/project", "repo"),
        ("https://dev.azure.com/org/project/_git/repo/pullrequest/1", "org/project", "repo"),
        ("ssh://org@org.visualstudio.com:22/DefaultCollection/project/_ssh/repo", "org/project", "repo"),
        # Pages that a browser shows.
        ("https://gitlab.com/group/sub/project/-/blob/main/docs/README.md", "group/sub", "project"),
        ("https://git.corp/group/project/-/tree/main", "group", "project"),
        ("https://git.corp/group/project/-/merge_requests/7/diffs", "group", "project"),
        ("https://github.com/owner/repo/wiki/Home", "owner", "repo"),
        ("https://github.com/owner/repo/blame/main/x.py", "owner", "repo"),
        ("https://bitbucket.org/ws/repo/src/main/x.py", "ws", "repo"),
        ("https://git.corp/a-b/-c", "a-b", "-c"),
        ("git@gitlab.com:group/project.git", "group", "project"),
    ],
)
def test_owner_and_repository_are_found(text: str, owner: str, repository: str) -> None:
    url = RemoteURL.parse(text)

    assert (url.owner, url.repository) == (owner, repository)


@pytest.mark.parametrize(
    ("type", "text", "options", "path"),
    [
        ("gitlab", "https://gitlab.com/group/sub/project/-/blob/main/x", {}, "group/sub/project"),
        ("gitlab", "https://git.corp/gitlab/a/b/-/tree/main", {"instance_url": "https://git.corp/gitlab"}, "a/b"),
        ("gitlab", "https://git.corp/scm/group/project.git", {}, "scm/group/project"),
        ("github", "https://github.com/owner/repo/tree/main/src", {}, "owner/repo"),
        ("github", "https://ghe.corp/owner/repo.git", {}, "owner/repo"),
    ],
)
def test_a_hosted_repository_is_asked_for_by_its_path_and_not_by_its_page(
    type: str, text: str, options: dict[str, str], path: str
) -> None:
    repository = platform_class(type)("x", options)
    repository.remote = RemoteURL.parse(text)

    assert repository.path == path  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["ext::sh -c whoami", "ext::git-shell %S x", "fd::17", "fd::17,18/x"])
def test_a_command_or_a_descriptor_is_no_place(text: str, repo: Repo) -> None:
    with pytest.raises(InvalidRemoteURL, match="runs a command or reads a descriptor"):
        RemoteURL.parse(text)
    helper, _, address = text.partition("::")
    with pytest.raises(InvalidRemoteURL):
        RemoteURL.from_parts(f"helper:{helper}", None, None, None, address)
    repo.git("config", "remote.origin.url", text)
    git = Git(str(repo.path), environment=repo.env)
    assert remotes_of(git, Settings.read(git)) == {}


@pytest.mark.parametrize("helper", ["ext", "fd"])
def test_a_manifest_with_one_is_invalid(helper: str) -> None:
    document = json.loads(json.dumps(example_document()))
    document["repository"]["remote"] = {
        "transport": f"helper:{helper}", "host": None, "port": None, "user": None, "path": "sh -c x"
    }  # fmt: skip
    with pytest.raises(InvalidManifest, match="transport"):
        Manifest.parse(json.dumps(document).encode())
    document["repository"]["remote"]["transport"] = f"helper:{helper}ra"
    Manifest.parse(json.dumps(document).encode())
