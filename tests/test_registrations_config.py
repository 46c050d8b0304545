"""Which code repository is meant: registered, inferred, or one of several."""

from __future__ import annotations

import pytest

from git_coderepo.errors import RegistrationError
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.registration.config import Registration, choose, registration, registrations
from git_coderepo.registration.infer import host_rules, type_of
from git_coderepo.settings import Settings
from tests.support.repo import Repo


def settings_of(repo: Repo, **variables: str) -> Settings:
    return Settings.read(Git(str(repo.path), environment={**repo.env, **variables}))


def remotes(**urls: str) -> dict[str, RemoteURL]:
    return {name: RemoteURL.parse(url) for name, url in urls.items()}


def register(repo: Repo, name: str, **keys: str) -> None:
    for key, value in keys.items():
        repo.git("config", f"coderepo.{name}.{key}", value)


def chosen(repo: Repo, name: str | None = None, upstream: str | None = None, **urls: str) -> Registration:
    found = choose(settings_of(repo), remotes(**urls), name=name, upstream=upstream)
    assert found is not None
    return found


# --- what the configuration says ---


def test_a_registration_is_read_with_its_options_by_python_name(repo: Repo) -> None:
    register(
        repo,
        "widgets v2",
        type="github",
        remote="origin",
        apiUrl="https://ghe.corp/api/v3",
        description="ü",
        logoUrl="x",
    )

    (found,) = registrations(settings_of(repo))

    assert (found.name, found.type, found.remote) == ("widgets v2", "github", "origin")
    assert (found.options, found.description, found.logo_url) == ({"api_url": "https://ghe.corp/api/v3"}, "ü", "x")


def test_the_options_of_a_custom_class_keep_their_underscores(repo: Repo) -> None:
    register(repo, "mine", source="my_module.MyRepository", **{"base-path": "/srv"})

    (found,) = registrations(settings_of(repo))

    assert (found.type, found.source, found.options) == ("custom", "my_module.MyRepository", {"base_path": "/srv"})


def test_a_key_that_the_platform_does_not_know_is_named_with_the_line_that_cures_it_z9(repo: Repo) -> None:
    register(repo, "widgets", type="github", hosst="github.com")

    with pytest.raises(RegistrationError, match="hosst") as failure:
        registrations(settings_of(repo))

    repo.git(*failure.value.hints[0].replace("'", "").split()[1:])
    assert registrations(settings_of(repo))[0].options == {}


def test_a_token_in_plain_text_is_refused_and_not_shown(repo: Repo) -> None:
    register(repo, "widgets", type="github", token="ghp_plain")

    with pytest.raises(RegistrationError, match="plain text") as failure:
        registrations(settings_of(repo))

    assert "ghp_plain" not in str(failure.value) + "".join(failure.value.hints)


def test_a_reference_to_a_secret_is_kept_as_it_is(repo: Repo) -> None:
    register(repo, "widgets", type="github", token="{{github_secret.pa_token}}")

    assert registrations(settings_of(repo))[0].options == {"token": "{{github_secret.pa_token}}"}


def test_a_registration_without_a_type_says_so(repo: Repo) -> None:
    register(repo, "widgets", remote="origin")

    with pytest.raises(RegistrationError, match="'widgets' requires a type"):
        registrations(settings_of(repo))


def test_an_unknown_name_is_answered_with_the_near_miss(repo: Repo) -> None:
    register(repo, "widgets", type="github", remote="origin")

    with pytest.raises(RegistrationError, match="not found: 'wigdets'") as failure:
        registration(settings_of(repo), "wigdets")

    assert failure.value.hints == ("did you mean 'widgets'?",)


# --- which one is meant ---

GITHUB = "https://github.com/acme/widgets.git"
CORP = "git@git.corp:acme/widgets.git"


def test_the_name_comes_before_the_default_and_the_default_before_the_remote(repo: Repo) -> None:
    register(repo, "here", type="git", remote="origin")
    register(repo, "there", type="git", remote="fork")
    register(repo, "elsewhere", type="git", remote="gone")
    urls = {"origin": GITHUB, "upstream": CORP}

    assert chosen(repo, **urls).name == "here"
    repo.git("config", "coderepo.default", "there")
    assert chosen(repo, **urls).name == "there"
    assert chosen(repo, "elsewhere", **urls).name == "elsewhere"


def test_several_matches_are_an_error_that_names_them(repo: Repo) -> None:
    register(repo, "one", type="git", remote="origin")
    register(repo, "two", type="github", owner="acme", repository="widgets")

    with pytest.raises(RegistrationError, match="'one', 'two'") as failure:
        chosen(repo, origin=GITHUB)

    assert failure.value.hints == (
        "git config coderepo.default one",
        "--code-repository one",
        "git coderepo list",
    )
    repo.git(*failure.value.hints[0].split()[1:])
    assert chosen(repo, origin=GITHUB).name == "one"


def test_the_default_may_come_from_the_environment(repo: Repo) -> None:
    register(repo, "one", type="git", remote="origin")
    register(repo, "two", type="git", remote="origin")

    found = choose(settings_of(repo, CODEREPO_DEFAULT="two"), remotes(origin=GITHUB))

    assert found is not None and found.name == "two"


def test_a_custom_class_serves_a_checkout_that_nothing_else_claims(repo: Repo) -> None:
    register(repo, "mine", source="my_module.MyRepository")

    assert chosen(repo, origin=GITHUB).name == "mine"
    register(repo, "hub", type="github", owner="acme", repository="widgets")
    assert chosen(repo, origin=GITHUB).name == "hub"


def test_a_registration_by_owner_knows_which_git_remote_is_its_own(repo: Repo) -> None:
    register(repo, "hub", type="github", owner="acme", repository="widgets")

    assert chosen(repo, fork="https://github.com/me/widgets", origin=GITHUB).remote == "origin"


@pytest.mark.parametrize(
    "url",
    [
        "git@gitlab.com:example/test.git",
        "git@gitlab.com:/example/test.git",
        "ssh://git@gitlab.com/example/test.git",
        "ssh://git@gitlab.com:22/example/test.git",
        "ssh://git@altssh.gitlab.com:443/example/test.git",
        "https://gitlab.com/example/test.git",
        "https://gitlab.com/example/test/",
        "https://gitlab.com:443/example/test",
        "https://gitlab-ci-token:t@gitlab.com/example/test.git",
        "https://GitLab.com/Example/test",
    ],
)
def test_a_standard_form_of_a_remote_matches_z8(repo: Repo, url: str) -> None:
    register(repo, "lab", type="gitlab", group="example", project="test")

    assert chosen(repo, origin=url).name == "lab"


@pytest.mark.parametrize(
    "url",
    [
        "https://gitlabXcom/example/test.git",
        "https://gitlab.com:8443/example/test.git",
        "https://gitlab.com/example/test.git.git",
        "https://gitlab.com/example/test2",
        "https://gitlab.com/other/test",
        "https://gitlab.com/a/example/test",
        "https://gitlab.com.evil.example/example/test",
        "https://evil.example/gitlab.com/example/test",
        "gl:example/test",
    ],
)
def test_a_remote_that_lies_elsewhere_does_not_match_z8(repo: Repo, url: str) -> None:
    register(repo, "lab", type="gitlab", group="example", project="test")

    assert chosen(repo, origin=url).name == "origin"


@pytest.mark.parametrize(
    "url",
    [
        "ssh://git@private-gitlab.example.com:2222/example/test.git",
        "https://private-gitlab.example.com/example/test.git",
        "git@private-gitlab.example.com:example/test.git",
    ],
)
def test_a_private_host_matches_over_ssh_on_any_port_z8(repo: Repo, url: str) -> None:
    register(repo, "lab", type="gitlab", host="private-gitlab.example.com", group="example", project="test")

    assert chosen(repo, origin=url).name == "lab"


@pytest.mark.parametrize("url", ["https://git.corp/gitlab/a/b/c.git", "git@git.corp:a/b/c.git"])
def test_an_instance_below_a_path_with_nested_groups_matches(repo: Repo, url: str) -> None:
    register(repo, "lab", type="gitlab", instanceUrl="https://git.corp/gitlab/", group="a/b", project="c")

    assert chosen(repo, origin=url).name == "lab"


def test_github_over_port_443_of_its_ssh_host_matches_z8(repo: Repo) -> None:
    register(repo, "hub", type="github", owner="acme", repository="widgets")

    assert chosen(repo, origin="ssh://git@ssh.github.com:443/Acme/widgets.git").name == "hub"


def test_an_api_url_alone_tells_the_host(repo: Repo) -> None:
    register(repo, "hub", type="github", apiUrl="https://ghe.corp/api/v3", owner="acme", repository="widgets")

    assert chosen(repo, origin="git@ghe.corp:acme/widgets.git").name == "hub"
    assert chosen(repo, origin=GITHUB).name == "origin"


def test_a_registration_of_a_remote_takes_the_host_from_it(repo: Repo) -> None:
    register(repo, "hub", type="github", remote="origin", owner="acme", repository="widgets")

    assert chosen(repo, origin="git@ghe.corp:acme/widgets.git").name == "hub"


# --- without a registration ---


def test_a_known_host_is_used_under_the_remotes_name(repo: Repo) -> None:
    found = chosen(repo, origin=GITHUB)

    assert (found.name, found.type, found.remote, found.registered) == ("origin", "github", "origin", False)


def test_a_remote_can_be_asked_for_by_name(repo: Repo) -> None:
    assert chosen(repo, "fork", origin=CORP, fork=GITHUB).type == "github"


def test_the_branchs_own_remote_comes_before_origin_and_origin_before_the_others(repo: Repo) -> None:
    urls = {"a": GITHUB, "origin": CORP, "b": GITHUB}

    assert chosen(repo, upstream="b", **urls).name == "b"
    assert chosen(repo, **urls).name == "origin"
    assert chosen(repo, upstream="gone", **urls).name == "origin"
    assert chosen(repo, only=GITHUB).name == "only"


def test_several_remotes_of_which_none_is_meant_are_an_error_that_names_them(repo: Repo) -> None:
    with pytest.raises(RegistrationError, match="'a', 'b'") as failure:
        chosen(repo, b=GITHUB, a=CORP)

    assert failure.value.hints == ("git config coderepo.default a", "--code-repository a", "git remote -v")
    repo.git(*failure.value.hints[0].split()[1:])
    assert chosen(repo, b=GITHUB, a=CORP).name == "a"


def test_no_remote_at_all_is_no_code_repository(repo: Repo) -> None:
    assert choose(settings_of(repo), {}) is None


@pytest.mark.parametrize(
    "url", ["/srv/widgets.git", "file:///srv/widgets.git", "ssh://box/widgets.git", "https://git.corp/a/b"]
)
def test_a_place_that_nothing_recognises_is_a_git_remote(repo: Repo, url: str) -> None:
    assert chosen(repo, origin=url).type == "git"


def test_the_ci_tells_the_platform_of_its_own_server() -> None:
    job = {"GITLAB_CI": "true", "CI_SERVER_URL": "https://git.corp:8443/gitlab"}

    assert type_of(RemoteURL.parse("https://git.corp:8443/gitlab/a/b.git"), job) == "gitlab"
    assert type_of(RemoteURL.parse("https://other.corp/a/b.git"), job) == "git"
    # Woodpecker sets the same names, and another marker.
    assert type_of(RemoteURL.parse("https://git.corp/a/b.git"), {**job, "GITLAB_CI": ""}) == "git"
    assert (
        type_of(RemoteURL.parse("https://git.corp/a/b.git"), {"GITLAB_CI": "true", "CI_SERVER_URL": "nonsense"})
        == "git"
    )


# --- host rules ---


def test_a_rule_of_the_users_configuration_sets_the_platform_of_a_whole_host(repo: Repo) -> None:
    repo.git("config", "--global", "coderepo.https://git.corp/.type", "gitlab")
    repo.git("config", "--global", "coderepo.https://git.corp/.instanceUrl", "https://git.corp/gitlab")

    for url in (CORP, "https://git.corp/acme/widgets.git", "ssh://git@git.corp:2222/acme/widgets"):
        found = chosen(repo, origin=url)
        assert (found.name, found.type, found.options) == (
            "origin",
            "gitlab",
            {"instance_url": "https://git.corp/gitlab"},
        )
    assert chosen(repo, origin="https://git.corp:8443/acme/widgets.git").type == "git"


def test_a_rule_in_the_repositorys_own_configuration_does_not_count(
    repo: Repo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TRACE", "1")
    repo.git("config", "coderepo.https://git.corp/.type", "gitlab")

    assert chosen(repo, origin=CORP).type == "git"
    assert "only the user and the system may set host rules" in capsys.readouterr().err
    found = choose(
        settings_of(
            repo, GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="coderepo.https://git.corp/.type", GIT_CONFIG_VALUE_0="github"
        ),
        remotes(origin=CORP),
    )
    assert found is not None and found.type == "github"


def test_of_several_rules_the_longest_prefix_holds(repo: Repo) -> None:
    repo.git("config", "--global", "coderepo.https://git.corp/.type", "gitlab")
    repo.git("config", "--global", "coderepo.https://git.corp/acme.type", "github")

    assert chosen(repo, origin="git@git.corp:acme/widgets.git").type == "github"
    assert chosen(repo, origin="git@git.corp:acmes/widgets.git").type == "gitlab"


def test_a_rules_options_stand_beneath_a_registrations_own(repo: Repo) -> None:
    repo.git("config", "--global", "coderepo.https://git.corp/.type", "gitlab")
    repo.git("config", "--global", "coderepo.https://git.corp/.instanceUrl", "https://git.corp/gitlab")
    register(repo, "lab", type="gitlab", remote="origin", group="acme")

    assert chosen(repo, origin=CORP).options == {"instance_url": "https://git.corp/gitlab", "group": "acme"}


def test_a_rule_with_a_token_in_plain_text_is_refused(repo: Repo) -> None:
    repo.git("config", "--global", "coderepo.https://git.corp/.token", "glpat-plain")

    with pytest.raises(RegistrationError, match="plain text") as failure:
        host_rules(settings_of(repo))

    assert "glpat-plain" not in str(failure.value)


def test_a_rule_for_no_host_says_so_without_the_text(repo: Repo) -> None:
    repo.git("config", "--global", "coderepo.https://user:pw@git.corp/.type", "gitlab")

    with pytest.raises(RegistrationError, match="invalid host rule") as failure:
        host_rules(settings_of(repo))

    assert "pw" not in str(failure.value)
