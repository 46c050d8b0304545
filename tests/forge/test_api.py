"""Every route of GitHub's and GitLab's API that the forge has."""

from __future__ import annotations

from urllib.parse import quote

from tests.forge import Forge
from tests.forge.client import Client, unpack
from tests.support.repo import Repo, tree_of

# --- GitHub's API ---


def test_github_describes_a_repository_to_those_who_may_see_it(forge, github, client):
    token = forge.add_token("github")
    answer = client.github("/repos/ACME/widgets", token)
    assert answer.status_code == 200
    described = answer.json()
    assert (described["full_name"], described["private"], described["default_branch"]) == ("acme/widgets", True, "main")
    assert described["permissions"]["pull"] is True
    assert described["clone_url"] == github.url
    assert answer.headers["x-ratelimit-limit"] == "5000"
    assert client.github("/repos/acme/widgets", token, scheme="token").status_code == 200
    wrong = client.github("/repos/acme/widgets", "ghp_wrong")
    assert (wrong.status_code, wrong.json()["message"]) == (401, "Bad credentials")
    hidden = client.github("/repos/acme/widgets", forge.add_token("github", repositories=["acme/other"]))
    assert (hidden.status_code, hidden.json()["message"]) == (404, "Not Found")
    assert client.github("/repos/acme/widgets").status_code == 404
    assert client.github("/repos/acme/missing", token).status_code == 404
    assert [entry.status for entry in forge.requests("access")] == [200, 200, 401, 404, 404, 404]
    assert client.github("/meta").json()["installed_version"]
    assert client.github("/nothing/here", token).status_code == 404
    assert client.github("/user", forge.add_token("github", kind="installation")).status_code == 403


def test_github_tells_a_commit_with_its_tree(forge, github, code, client):
    token = forge.add_token("github")
    head = code.head()
    answer = client.github(f"/repos/acme/widgets/git/commits/{head}", token).json()
    assert answer["tree"]["sha"] == code.tree()
    assert client.github("/repos/acme/widgets/commits/main", token).json()["sha"] == head
    assert client.github(f"/repos/acme/widgets/git/commits/{'0' * 40}", token).status_code == 404
    assert client.github("/repos/acme/widgets/git/commits/main", token).status_code == 422
    assert client.github(f"/repos/acme/widgets/commits/{'0' * 40}", token).status_code == 422
    forge.add_repository("acme/empty")
    assert client.github(f"/repos/acme/empty/git/commits/{head}", token).status_code == 409
    scopeless = client.github(
        f"/repos/acme/widgets/git/commits/{head}", forge.add_token("github", scopes=["metadata:read"])
    )
    assert scopeless.status_code == 403
    assert scopeless.json()["message"] == "Resource not accessible by personal access token"


def test_githubs_archive_is_at_another_origin_behind_a_temporary_link(forge, github, code, env, tmp_path, client):
    token = forge.add_token("github")
    head = code.head()
    link = client.github(f"/repos/acme/widgets/tarball/{head}", token)
    assert link.status_code == 302
    assert link.headers["location"].startswith(forge.codeload_url + "/")
    archive = client.get(link.headers["location"])
    assert archive.headers["transfer-encoding"] == "chunked"
    assert archive.headers["content-type"] == "application/x-gzip"
    top = unpack(archive.content, tmp_path / "unpacked")
    assert top.name == f"acme-widgets-{head[:7]}"
    assert tree_of(top, env) == code.tree()
    assert client.get(link.headers["location"].partition("?")[0]).status_code == 404
    forge.link_lifetime = -1
    late = client.github(f"/repos/acme/widgets/tarball/{head}", token)
    assert client.get(late.headers["location"]).status_code == 404
    assert client.github(f"/repos/acme/widgets/tarball/{'0' * 40}", token).status_code == 404
    assert forge.origins_that_saw(token) == {forge.url}
    assert len(forge.requests("archive")) == 3


def test_a_tarball_that_refuses_bearer_comes_with_token(forge, github, client):
    token = forge.add_token("github")
    forge.tarball_refuses_bearer = True
    assert client.github("/repos/acme/widgets/tarball/main", token).status_code == 401
    assert client.github("/repos/acme/widgets/tarball/main", token, scheme="token").status_code == 302


def test_githubs_api_on_a_host_of_its_own(tmp_path, code):
    with Forge(tmp_path / "forge", api_prefix="") as forge:
        forge.add_repository("acme/widgets", private=False, source=code.path)
        client = Client(forge)
        with client.session:
            assert not forge.api_url("github").startswith(forge.url + "/")
            assert client.github("/repos/acme/widgets").status_code == 200
            assert client.get(f"{forge.url}/api/v3/repos/acme/widgets").status_code == 404
    assert [entry.listener for entry in forge.requests()] == ["api", "web"]


# --- GitLab's API ---


def test_gitlab_describes_a_project_to_those_who_may_see_it(forge, gitlab, client):
    token = forge.add_token("gitlab")
    project = "/projects/" + quote(gitlab.name, safe="")
    described = client.gitlab(project, token).json()
    assert (described["path_with_namespace"], described["visibility"]) == (gitlab.name, "private")
    assert client.gitlab(f"/projects/{described['id']}", PRIVATE_TOKEN=token).status_code == 200
    wrong = client.gitlab(project, "glpat-wrong")
    assert (wrong.status_code, wrong.json()) == (401, {"message": "401 Unauthorized"})
    scopeless = client.gitlab(project, forge.add_token("gitlab", scopes=["read_repository"]))
    assert (scopeless.status_code, scopeless.json()["error"]) == (403, "insufficient_scope")
    for unseen in (client.gitlab(project), client.gitlab("/projects/acme%2Fmissing", token)):
        assert (unseen.status_code, unseen.json()) == (404, {"message": "404 Project Not Found"})
    assert client.gitlab(project, forge.add_token("gitlab", repositories=[])).status_code == 404
    assert client.gitlab("/metadata").status_code == client.gitlab("/version").status_code == 401
    assert client.gitlab("/metadata", token).json()["version"]
    assert "x-gitlab-meta" in client.gitlab("/nothing").headers
    assert client.gitlab("/nothing").json() == {"error": "404 Not Found"}


def test_gitlab_tells_a_commit_without_its_tree(forge, gitlab, code, client):
    token = forge.add_token("gitlab")
    commits = f"/projects/{gitlab.id}/repository/commits"
    commit = client.gitlab(f"{commits}/{code.head()}", token).json()
    assert commit["id"] == code.head()
    assert not any("tree" in name for name in commit)
    assert client.gitlab(f"{commits}/{'0' * 40}", token).json() == {"message": "404 Commit Not Found"}


def test_gitlabs_archive_is_named_by_reference_commit_and_path(forge, gitlab, code, env, tmp_path, client):
    token = forge.add_token("gitlab")
    head = code.head()
    url = f"/projects/{gitlab.id}/repository/archive.tar.gz"
    whole = client.gitlab(f"{url}?sha={head}&include_lfs_blobs=false", token)
    top = unpack(whole.content, tmp_path / "whole")
    assert top.name == f"project-{head}-{head}"
    assert tree_of(top, env) == code.tree()
    part = unpack(client.gitlab(f"{url}?sha=main&path=lib", token).content, tmp_path / "part")
    assert part.name == f"project-main-{head}-lib"
    assert [entry.name for entry in part.iterdir()] == ["lib"]
    assert client.gitlab(f"{url}?sha={'0' * 40}", token).json() == {"message": "404 File Not Found"}
    assert client.gitlab(f"{url}?path=missing", token).json() == {"message": "404 File Not Found"}
    assert client.gitlab(url.replace("tar.gz", "zip"), token).status_code == 406


def test_gitlab_gives_five_archives_a_minute(forge, gitlab, client):
    forge.archive_limit = 5
    token = forge.add_token("gitlab")
    answers = [client.gitlab(f"/projects/{gitlab.id}/repository/archive.tar.gz", token) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60


def test_gitlab_below_a_path_and_alone_on_its_host(tmp_path, code, env):
    with Forge(tmp_path / "forge", gitlab_root="/gitlab", tls=False) as forge:
        repository = forge.add_repository("a/b/c", platform="gitlab", private=False, source=code.path)
        assert Repo.clone(repository.url, tmp_path / "clone", env).head() == code.head()
        client = Client(forge)
        with client.session:
            assert client.gitlab("/projects/a%2Fb%2Fc").json()["http_url_to_repo"] == repository.url
            unknown = client.get(f"{forge.url}/api/v3/meta")
            assert (unknown.status_code, unknown.headers["content-type"]) == (404, "text/html; charset=utf-8")
