"""Which host a token goes to: the options choose the remote, and no host of another platform is ever asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from git_coderepo.errors import CodeRepoError, RegistrationError, UsageError
from git_coderepo.git.process import Git
from git_coderepo.platforms.hosted import HostedRepository
from git_coderepo.registration import register
from git_coderepo.registration.register import Registering, Updating, register_repository, update_repository
from git_coderepo.registration.resolve import source_here
from git_coderepo.registration.secret_options import credential_home
from tests.support.program import Program
from tests.support.repo import Repo

WIDGETS = (("owner", "acme"), ("repository", "widgets"))
PROJECT = (("group", "acme"), ("project", "widgets"))


def with_remotes(repo: Repo, remotes: Mapping[str, str]) -> Git:
    for name, url in remotes.items():
        repo.git("remote", "add", name, url)
    return Git(str(repo.path), environment=repo.env)


def no_input() -> bytes:
    raise AssertionError("nothing reads standard input here")


def home_of(git: Git, name: str | None) -> str:
    """The origin at which a token of the code repository is kept and sent."""
    repository = source_here(git, name).described()
    home = credential_home(repository)
    assert home is not None
    assert isinstance(repository, HostedRepository)
    hosts = {str(home[0]), str(repository.web_origin()), str(repository.api_origin()).replace("//api.", "//")}
    assert len(hosts) == 1, hosts
    return str(home[0])


def registered(git: Git, **given: object) -> tuple[str | None, str]:
    """The remote that a new registration 'r' is tied to, and the one origin that its token goes to."""
    wanted = Registering(name="r", verify=False, **given)  # type: ignore[arg-type]
    done = register_repository(git, wanted, standard_input=no_input)
    return done.registration.remote, home_of(git, "r")


@pytest.mark.parametrize(
    ("remotes", "type", "pairs", "remote", "place"),
    [
        # The options choose the remote among all of them, over ssh and https.
        ({"origin": "git@gitlab.com:acme/widgets.git", "hub": "https://github.com/acme/widgets.git"},
         "github", WIDGETS, "hub", "https://github.com"),
        ({"origin": "https://github.com/acme/widgets", "lab": "ssh://git@altssh.gitlab.com:443/acme/widgets.git"},
         "gitlab", PROJECT, "lab", "https://gitlab.com"),
        ({"origin": "https://github.com/acme/other", "hub": "git@github.com:Acme/Widgets"},
         "github", WIDGETS, "hub", "https://github.com"),
        ({"origin": "git@gitlab.com:acme/widgets", "hub": "https://github.com/acme/widgets"},
         "github", (), "hub", "https://github.com"),
        # The host of another platform is never asked; without a matching remote it is the type's default host.
        ({"origin": "git@gitlab.com:acme/widgets.git"}, "github", WIDGETS, None, "https://github.com"),
        ({"origin": "https://github.com/acme/widgets"}, "gitlab", PROJECT, None, "https://gitlab.com"),
        ({"origin": "ssh://git@ssh.github.com:443/acme/widgets"}, "gitlab", PROJECT, None, "https://gitlab.com"),
        ({"origin": "git@altssh.gitlab.com:acme/widgets"}, "github", WIDGETS, None, "https://github.com"),
        ({"origin": "https://tenant.ghe.com/acme/widgets"}, "gitlab", PROJECT, None, "https://gitlab.com"),
        ({"origin": "git@git.corp:team/other"}, "github", WIDGETS, None, "https://github.com"),
        ({"origin": "/srv/widgets.git"}, "github", WIDGETS, None, "https://github.com"),
        ({}, "github", WIDGETS, None, "https://github.com"),
        # A host of one's own: by the path, by --host, or for want of any other option.
        ({"origin": "git@gitlab.com:acme/widgets", "corp": "git@git.corp:acme/widgets"},
         "github", WIDGETS, "corp", "https://git.corp"),
        ({"origin": "git@git.corp:acme/widgets", "hub": "https://github.com/acme/widgets"},
         "github", WIDGETS, "hub", "https://github.com"),
        ({"origin": "git@git.corp:acme/widgets", "hub": "https://github.com/acme/widgets"},
         "github", (*WIDGETS, ("host", "git.corp")), "origin", "https://git.corp"),
        ({"origin": "ssh://git@git.corp:2222/acme/widgets", "hub": "https://github.com/acme/widgets"},
         "github", (), "origin", "https://git.corp"),
        ({"origin": "https://github.com/acme/widgets"},
         "github", (*WIDGETS, ("host", "git.corp")), None, "https://git.corp"),
        ({"origin": "https://github.com/acme/widgets"},
         "gitlab", (*PROJECT, ("instance-url", "https://git.corp:8443/gitlab")), None, "https://git.corp:8443"),
        ({"origin": "git@git.other:acme/widgets", "corp": "git@ghe.corp:acme/widgets"},
         "github", (*WIDGETS, ("api-url", "https://ghe.corp/api/v3")), "corp", "https://ghe.corp"),
        ({"one": "git@github.com:acme/widgets", "two": "https://github.com/acme/widgets"},
         "github", WIDGETS, "one", "https://github.com"),
        ({"origin": "https://git.corp:8443/gitlab/acme/widgets"},
         "gitlab", (("instance-url", "https://git.corp:8443/gitlab"),), "origin", "https://git.corp:8443"),
    ],
)  # fmt: skip
def test_the_options_choose_the_remote_and_with_it_the_host(
    repo: Repo,
    remotes: dict[str, str],
    type: str,
    pairs: tuple[tuple[str, str], ...],
    remote: str | None,
    place: str,
) -> None:
    assert registered(with_remotes(repo, remotes), type=type, pairs=pairs) == (remote, place)


def test_the_type_follows_from_the_options_too(repo: Repo) -> None:
    git = with_remotes(repo, {"origin": "git@gitlab.com:acme/widgets", "hub": "https://github.com/acme/widgets"})

    assert registered(git, pairs=WIDGETS) == ("hub", "https://github.com")


def test_the_type_follows_from_a_public_host_that_is_given(repo: Repo) -> None:
    git = with_remotes(repo, {"origin": "git@gitlab.com:acme/widgets"})

    assert registered(git, pairs=(*WIDGETS, ("host", "github.com"))) == (None, "https://github.com")


def test_a_host_that_a_rule_or_the_ci_knows_as_another_platform_is_not_asked(repo: Repo) -> None:
    repo.git("config", "--global", "coderepo.https://git.corp/.type", "gitlab")
    git = with_remotes(repo, {"origin": "git@git.corp:acme/widgets", "ci": "https://ci.corp/acme/widgets"})
    git = git.with_environment(GITLAB_CI="true", CI_SERVER_URL="https://ci.corp")

    assert registered(git, type="github", pairs=WIDGETS) == (None, "https://github.com")


def test_insteadof_counts_and_pushinsteadof_does_not(repo: Repo) -> None:
    repo.git("config", "--global", "url.git@gitlab.com:.insteadOf", "https://github.com/")
    repo.git("config", "--global", "url.git@github.com:.pushInsteadOf", "https://gitlab.com/")
    git = with_remotes(repo, {"origin": "https://github.com/acme/widgets", "lab": "https://gitlab.com/acme/widgets"})

    assert registered(git, type="github", pairs=WIDGETS) == (None, "https://github.com")


def test_of_two_urls_of_a_remote_the_one_that_is_fetched_from_counts(repo: Repo) -> None:
    git = with_remotes(repo, {"origin": "git@gitlab.com:acme/widgets"})
    repo.git("remote", "set-url", "--add", "origin", "https://github.com/acme/widgets")

    assert registered(git, type="github", pairs=WIDGETS) == (None, "https://github.com")


def test_a_remote_that_was_moved_to_another_platform_gets_no_token_of_the_first(repo: Repo) -> None:
    git = with_remotes(repo, {"origin": "https://github.com/acme/widgets"})
    register_repository(git, Registering(name="r", verify=False), standard_input=no_input)
    repo.git("remote", "set-url", "origin", "https://gitlab.com/acme/widgets")

    with pytest.raises(RegistrationError, match=r"'gitlab.com', which is GitLab and not GitHub") as failure:
        source_here(git, "r").described()
    assert "--owner and --repository" in failure.value.hints[0]
    update_repository(git, "r", Updating(pairs=WIDGETS, verify=False), standard_input=no_input)
    assert home_of(git, "r") == "https://github.com"


# --- contradictions ---


@pytest.mark.parametrize(
    ("url", "type", "pairs", "names"),
    [
        ("https://github.com/acme/widgets.git", "github", (("owner", "acme"), ("repository", "gadgets")),
         ("acme/gadgets", "github.com/acme/widgets.git")),
        ("https://github.com/acme/widgets.git", "github", (("repository", "gadgets"),), ("gadgets", "acme/widgets")),
        ("git@gitlab.com:a/b/c.git", "gitlab", (("group", "a/x"), ("project", "c")), ("a/x/c", "a/b/c")),
        ("git@git.corp:acme/widgets", "github",
         (("host", "git.corp"), ("owner", "acme"), ("repository", "gadgets")), ("acme/gadgets", "acme/widgets")),
        ("https://git.corp/acme/widgets", "git", (("url", "https://git.corp/acme/gadgets"),),
         ("https://git.corp/acme/gadgets", "https://git.corp/acme/widgets")),
    ],
)  # fmt: skip
def test_options_that_contradict_the_remote_are_refused_with_both_names(
    repo: Repo, url: str, type: str, pairs: tuple[tuple[str, str], ...], names: tuple[str, str]
) -> None:
    git = with_remotes(repo, {"origin": url})
    before = repo.git("config", "--local", "--list")

    with pytest.raises(RegistrationError) as failure:
        register_repository(git, Registering(name="r", type=type, pairs=pairs, verify=False), standard_input=no_input)

    assert all(name in failure.value.message for name in names), failure.value.message
    assert any("--remote=origin" in hint for hint in failure.value.hints)
    assert repo.git("config", "--local", "--list") == before


@pytest.mark.parametrize(("options", "remote"), [({"remote": "origin"}, "origin"), ({"no_remote": True}, None)])
def test_a_contradiction_is_lifted_by_a_word_of_the_user(
    repo: Repo, options: dict[str, object], remote: str | None
) -> None:
    git = with_remotes(repo, {"origin": "https://github.com/acme/widgets"})

    found = registered(git, type="github", pairs=(("owner", "acme"), ("repository", "gadgets")), **options)

    assert found == (remote, "https://github.com")


def test_a_remote_that_the_user_names_on_another_platform_is_not_asked_either(repo: Repo) -> None:
    git = with_remotes(repo, {"origin": "git@gitlab.com:acme/widgets"})

    with pytest.raises(RegistrationError, match=r"'gitlab.com', which is GitLab and not GitHub"):
        registered(git, type="github", remote="origin")
    assert registered(git, type="github", remote="origin", pairs=WIDGETS) == ("origin", "https://github.com")


@pytest.mark.parametrize(
    ("type", "pairs"),
    [
        ("github", (*WIDGETS, ("host", "gitlab.com"))),
        ("github", (*WIDGETS, ("api_url", "https://gitlab.com/api/v4"))),
        ("gitlab", (*PROJECT, ("instance_url", "https://github.com"))),
        ("gitlab", (*PROJECT, ("host", "tenant.ghe.com"))),
    ],
)
def test_a_host_of_another_platform_cannot_be_given(repo: Repo, type: str, pairs: tuple[tuple[str, str], ...]) -> None:
    git = with_remotes(repo, {})

    with pytest.raises(RegistrationError, match=r"its host '.*' is Git"):
        registered(git, type=type, pairs=pairs)
    register_repository(git, Registering(name="r", type=type, pairs=pairs[:2], verify=False), standard_input=no_input)
    with pytest.raises(RegistrationError, match=r"its host '.*' is Git"):
        update_repository(git, "r", Updating(pairs=pairs[2:], verify=False), standard_input=no_input)


def test_a_type_without_a_remote_of_its_kind_says_where_the_remotes_are(repo: Repo) -> None:
    git = with_remotes(repo, {"origin": "git@gitlab.com:acme/widgets"})

    with pytest.raises(RegistrationError, match=r"'origin' is on 'gitlab.com', which is GitLab"):
        registered(git, type="github")


def test_remote_and_no_remote_exclude_each_other(repo: Repo) -> None:
    git = with_remotes(repo, {"origin": "https://github.com/acme/widgets"})

    with pytest.raises(UsageError):
        registered(git, remote="origin", no_remote=True)


def test_an_update_moves_the_registration_to_the_remote_that_the_options_name(repo: Repo) -> None:
    remotes = {"origin": "https://github.com/acme/widgets", "fork": "https://github.com/me/widgets"}
    git = with_remotes(repo, remotes)
    register_repository(git, Registering(name="r", verify=False), standard_input=no_input)

    done = update_repository(git, "r", Updating(pairs=(("owner", "me"),), verify=False), standard_input=no_input)

    assert done.registration.remote == "fork"
    with pytest.raises(RegistrationError, match=r"'me/gadgets'"):
        update_repository(git, "r", Updating(pairs=(("repository", "gadgets"),), verify=False), standard_input=no_input)
    alone = Updating(pairs=(("repository", "gadgets"),), no_remote=True, verify=False)
    assert update_repository(git, "r", alone, standard_input=no_input).registration.remote is None


# --- a remote that is registered already ---


def test_a_plain_register_after_one_with_a_name_changes_nothing(repo: Repo) -> None:
    git = with_remotes(repo, {"origin": "https://github.com/acme/widgets"})
    register_repository(
        git, Registering(name="hub", type="github", pairs=WIDGETS, verify=False), standard_input=no_input
    )
    before = repo.git("config", "--local", "--list")

    done = register_repository(git, Registering(verify=False), standard_input=no_input)

    assert (done.registration.name, done.lines) == ("hub", [])
    assert repo.git("config", "--local", "--list") == before
    assert source_here(git, None).registration.name == "hub"
    with pytest.raises(RegistrationError, match=r"already registered as 'hub'"):
        register_repository(git, Registering(pairs=WIDGETS, verify=False), standard_input=no_input)


def test_two_registrations_of_one_place_are_no_question(repo: Repo) -> None:
    git = with_remotes(repo, {"origin": "https://github.com/acme/widgets"})
    for name in ("one", "two"):
        register_repository(git, Registering(name=name, verify=False), standard_input=no_input)

    assert source_here(git, None).registration.name == "one"


# --- on the wire ---


@contextmanager
def closed_proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that opens no tunnel: (its address, the `host:port` that were to be reached)."""
    asked: list[str] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.send_error(502)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("verb", ["register", "update", "login"])
def test_no_connection_is_made_to_the_other_platform(repo: Repo, program: Program, tmp_path: Path, verb: str) -> None:
    with_remotes(repo, {"origin": "git@gitlab.com:acme/widgets.git"})
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    (tmp_path / "token").write_text("github_pat_0123456789\n")
    token = ["--token", f"@{tmp_path / 'token'}"]
    options = ["--type=github", "--owner=acme", "--repository=widgets"]
    given = {"register": ["register", "hub", *options, *token], "update": ["update", "hub", *token],
             "login": ["login", "hub", *token]}[verb]  # fmt: skip
    if verb != "register":
        program.run("register", "hub", *options, "--no-verify", cwd=repo.path)

    with closed_proxy() as (address, asked):
        env = {"HTTPS_PROXY": address, "https_proxy": address, "NO_PROXY": "", "no_proxy": ""}
        program.run(*given, cwd=repo.path, check=False, env=env)

    assert {place.partition(":")[0] for place in asked} == {"api.github.com"}


def test_of_two_unknown_hosts_with_the_same_path_none_is_chosen(repo: Repo) -> None:
    git = with_remotes(repo, {"a": "git@git.corp:acme/widgets", "b": "git@git.other:acme/widgets"})

    with pytest.raises(RegistrationError, match="several git remotes match: 'a', 'b'") as failure:
        registered(git, type="github", pairs=WIDGETS)

    assert failure.value.hints[0] == "git coderepo register --remote a"


@pytest.mark.parametrize("pairs", [(("url", "ext::sh -c x"),), (("url", "https://"),)])
def test_options_that_make_no_sense_are_never_written(repo: Repo, pairs: tuple[tuple[str, str], ...]) -> None:
    git = with_remotes(repo, {})
    before = repo.git("config", "--local", "--list")

    with pytest.raises(CodeRepoError):
        registered(git, type="git", pairs=pairs)

    assert repo.git("config", "--local", "--list") == before


def test_an_unknown_host_is_asked_what_it_is_before_it_is_sent_a_token(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one network question, answered by hand: tests/test_platforms_forge.py has the real servers."""
    from git_coderepo.platforms.gitlab import GitLab
    from git_coderepo.registration import remotes as surroundings

    asked = []

    def says_gitlab(host: str, *, first: str | None = None) -> type[GitLab]:
        asked.append((host, first))
        return GitLab

    monkeypatch.setattr(surroundings, "recognise", says_gitlab)
    monkeypatch.setattr(register, "check", lambda *_: ("api", None, ()))
    git = with_remotes(repo, {"origin": "git@git.corp:acme/widgets"})

    done = register_repository(git, Registering(name="r", type="github", pairs=WIDGETS), standard_input=no_input)

    assert asked == [("git.corp", "github")]
    assert done.registration.remote is None
    assert home_of(git, "r") == "https://github.com"
