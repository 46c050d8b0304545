"""Z8: one remote in its many forms matches what was registered; another one does not."""

from __future__ import annotations

import pytest

from git_coderepo.git.url.remote import RemoteURL

GITHUB_ALIASES: dict[tuple[str, int | None], str] = {("ssh.github.com", 443): "github.com"}


def same(one: str, other: str, *, fold_path: bool = False) -> bool:
    first, second = RemoteURL.parse(one), RemoteURL.parse(other)
    answer = first.same_place(second, aliases=GITHUB_ALIASES, fold_path=fold_path)
    assert answer == second.same_place(first, aliases=GITHUB_ALIASES, fold_path=fold_path)
    return answer


PRIVATE = "private-gitlab.example.com"


@pytest.mark.parametrize(
    ("remote", "registered"),
    [
        ("git@gitlab.com:example/test.git", "https://gitlab.com/example/test"),
        ("git@gitlab.com:/example/test.git", "https://gitlab.com/example/test"),
        ("ssh://git@gitlab.com:/example/test.git", "https://gitlab.com/example/test"),
        ("ssh://git@gitlab.com:22/example/test.git", "https://gitlab.com/example/test"),
        ("ssh://git@gitlab.com/example/test.git", "git@gitlab.com:example/test"),
        (f"ssh://git@{PRIVATE}:2222/example/test.git", f"https://{PRIVATE}/example/test"),
        (f"https://{PRIVATE}/example/test.git", f"https://{PRIVATE}/example/test"),
        ("ssh://git@ssh.github.com:443/owner/repo.git", "https://github.com/owner/repo"),
        ("ssh://git@ssh.github.com:443/owner/repo.git", "git@github.com:owner/repo"),
        ("ssh://git@github.com:22/owner/repo", "git@github.com:owner/repo"),
        ("https://gitlab-ci-token:T@gitlab.com/group/project.git", "https://gitlab.com/group/project"),
        ("https://gitlab.com/group/project.git/", "https://gitlab.com/group/project"),
        ("https://gitlab.com/group/project/", "https://gitlab.com/group/project"),
        ("https://GitLab.COM./group/project", "https://gitlab.com/group/project"),
        ("https://gitlab.com:443/group/project", "https://gitlab.com/group/project"),
        ("http://gitlab.com:80/group/project", "https://gitlab.com/group/project"),
        ("git://gitlab.com/group/project", "https://gitlab.com/group/project"),
        ("https://host/a%20b/c", "ssh://host/a%20b/c"),
        ("git@git.sr.ht:~user/repo", "https://git.sr.ht/~user/repo"),
        ("ssh://host/~user/repo", "host:~user/repo.git/"),
        ("/srv/git/repo.git/", "file:///srv/git/repo"),
        ("/srv/work/.git", "/srv/work"),
        ("hg::https://hg.example.org/repo", "hg::https://hg.example.org/repo"),
    ],
)
def test_forms_of_one_remote_match(remote, registered):
    """Z8."""
    assert same(remote, registered)


@pytest.mark.parametrize(
    ("remote", "registered"),
    [
        ("https://gitlabXcom/example/test", "https://gitlab.com/example/test"),
        ("git@gitlabXcom:example/test.git", "git@gitlab.com:example/test.git"),
        (f"https://{PRIVATE}.evil.example/example/test", f"https://{PRIVATE}/example/test"),
        (f"https://other.example.com/{PRIVATE}/example/test", f"https://{PRIVATE}/example/test"),
        (f"https://{PRIVATE}/other/test.git", f"https://{PRIVATE}/example/test"),
        (f"https://{PRIVATE}/example/other.git", f"https://{PRIVATE}/example/test"),
        (f"https://{PRIVATE}/example/test/more", f"https://{PRIVATE}/example/test"),
        (f"https://{PRIVATE}/example/test.git/more", f"https://{PRIVATE}/example/test"),
        (f"https://{PRIVATE}/example/test-more", f"https://{PRIVATE}/example/test"),
        (f"https://{PRIVATE}/example-more/test", f"https://{PRIVATE}/example/test"),
        (f"https://{PRIVATE}/more/example/test", f"https://{PRIVATE}/example/test"),
        (f"https://{PRIVATE}/example/test.git.git", f"https://{PRIVATE}/example/test"),
        (f"https://{PRIVATE}:8443/example/test", f"https://{PRIVATE}/example/test"),  # Z8: any https port
        (f"https://{PRIVATE}:8443/example/test", f"https://{PRIVATE}:9443/example/test"),
        (f"ssh://{PRIVATE}:2222/example/test", f"ssh://{PRIVATE}/example/test"),
        ("gh:owner/repo", "https://github.com/owner/repo"),  # Z8: no alias until git says so
        ("gh:owner/repo", "https://git.corp.com/owner/repo"),
        ("ssh://git@ssh.github.com:8443/owner/repo", "https://github.com/owner/repo"),
        ("ssh://git@ssh.github.com/owner/repo", "https://github.com/owner/repo"),
        ("https://github.com/Owner/repo", "https://github.com/owner/repo"),
        ("\u212aernel.org:a/b", "kernel.org:a/b"),  # the Kelvin sign is no k
        ("/srv/git/repo", "/srv/git/Repo"),
        ("/srv/git/repo", "https://srv/git/repo"),
        ("ftp://host/repo", "https://host/repo"),
        ("HTTPS://github.com/owner/repo", "https://github.com/owner/repo"),
        ("hg::https://hg.example.org/repo", "https://hg.example.org/repo"),
        ("hg::https://a:b@host/repo", "hg::https://c:d@host/other"),
    ],
)
def test_another_place_does_not_match(remote, registered):
    """Z8."""
    assert not same(remote, registered)


def test_a_platform_that_folds_names_matches_another_case_of_the_owner():
    """Z8: github.com/Owner/Repo is github.com/owner/repo, by that platform's word only."""
    assert same("git@github.com:Owner/REPO.git", "https://github.com/owner/repo", fold_path=True)
    assert not same("git@github.com:Owner/REPO.git", "https://github.com/owner/repo2", fold_path=True)


def test_the_host_of_a_platform_is_known_through_its_ssh_endpoint():
    url = RemoteURL.parse("ssh://git@SSH.github.com.:443/owner/repo.git")
    assert url.platform_host(GITHUB_ALIASES) == "github.com"
    assert url.platform_host({}) == "ssh.github.com"
    azure = RemoteURL.parse("git@ssh.dev.azure.com:v3/org/project/repo")
    assert azure.platform_host({("ssh.dev.azure.com", None): "dev.azure.com"}) == "dev.azure.com"
    assert RemoteURL.parse("/srv/repo").platform_host({}) == ""
