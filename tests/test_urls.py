"""A user's remotes, in every form that git takes: read as git reads them, compared, rebuilt, never leaked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from git_coderepo.errors import InvalidRemoteURL
from git_coderepo.git.process import Git
from git_coderepo.git.url.remote import Origin, RemoteURL, resolve_remote
from git_coderepo.settings import Settings
from tests.support.repo import Repo

ENTRIES = json.loads((Path(__file__).parent / "remote-urls.json").read_text(encoding="utf-8"))


def remote_of(repo: Repo, name: str = "origin") -> RemoteURL | None:
    git = Git(os.fsencode(repo.path), environment=repo.env)
    return resolve_remote(git, Settings.read(git), name)


# --- what the table of known URLs says ---------------------------------------------------------


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["url"].encode("unicode_escape").decode() or "empty")
def test_every_known_url_is_read_as_the_table_says(entry, repo):
    if "config" in entry:
        repo.env["GIT_SSH_COMMAND"] = "ssh -F /dev/null"  # ssh reads the real user's configuration, whatever HOME says
        repo.git("config", "remote.origin.url", entry["url"])
        for name, value in entry["config"].items():
            repo.git("config", name, value)
        url = remote_of(repo)
    elif not entry["valid"]:
        with pytest.raises(InvalidRemoteURL):
            RemoteURL.parse(entry["url"])
        return
    else:
        url = RemoteURL.parse(entry["url"], windows=entry.get("os") == "windows")
    assert url is not None
    assert {
        "transport": url.transport,
        "user": url.user,
        "host": url.host,
        "port": url.port,
        "path": url.path,
        "owner": url.owner,
        "repo": url.repository,
        "secret": url.has_secret,
    } == {key: entry[key] for key in ("transport", "user", "host", "port", "path", "owner", "repo", "secret")}


# --- forms beyond the table --------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "ssh://git@gitlab.com:example/test.git",  # Z8: no such URL
        "ssh://host:22x/owner/repo",
        "ssh://host:0/owner/repo",
        "ssh://host:65536/owner/repo",
        "ssh://user:pw@host:22/owner/repo",  # git takes all of it for the host
        "ssh://host.xz",
        "ssh:///owner/repo",
        "ssh://@host/owner/repo",
        "ssh://git@-oProxyCommand=calc/owner/repo",
        "ssh://-oProxyCommand=calc@host/owner/repo",
        "git@-oProxyCommand=calc:owner/repo",
        "ssh://git@%2doProxyCommand=calc/owner/repo",
        "ssh://host/owner/re%0apo",
        "ssh://[::1]x/owner/repo",
        "host:",
        ":owner/repo",
        "::1:owner/repo",
        "h o s t:owner/repo",
        "git://user@host/repo",
        "https://host",
        "https://host?owner/repo",
        "https:///owner/repo",
        "https://:443/owner/repo",
        "https://ho%73t/owner/repo",
        "https://a@b@c/owner/repo",
        "https://jane@corp.com:SECRET@host/owner/repo",
        "https://evil.example\\@github.com/owner/repo",
        "https://[github.com]/owner/repo",
        "https://github.com:443@/owner/repo",
        "https://host/owner/%2e%2e/repo",
        "https://host/owner/./repo",
        "https://host/owner/..",
        "https://host/owner/re%0dpo",
        "https://host/owner/re%00po",
        "https://host/owner/repo\0",
        "a_b://host/repo",
        "git@host:p://x",
        "rsync:host/x",
        "::address",
        "ext::",
        "hg::--config=x",
        "-path",
        "/srv/q@[r]/repo",  # git looks for ]/repo
        "git@[h]:q@[r]/repo",
        "/srv/repo\u0085",
        "file://host",
        "/srv/\ud800",
    ],
)
def test_what_git_would_not_take_or_must_not_be_given_is_refused(text):
    with pytest.raises(InvalidRemoteURL):
        RemoteURL.parse(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ssh://git@gitlab.com:/example/test.git", ("ssh", "git", "gitlab.com", None, "/example/test.git")),
        ("https://host:/owner/repo", ("https", None, "host", None, "/owner/repo")),
        ("ssh+git://host/repo", ("ssh", None, "host", None, "/repo")),
        ("ssh://h%2Fa/b", ("ssh", None, "h", None, "/a/b")),  # git decodes before it looks for the host
        ("git@host:/~jane/repo", ("ssh", "git", "host", None, "~jane/repo")),
        ("a@b@host:repo", ("ssh", "a@b", "host", None, "repo")),
        ("[fe80::1%eth0]:repo", ("ssh", None, "fe80::1%eth0", None, "repo")),
        ("https://[fe80::1%25eth0]:8443/o/r", ("https", None, "fe80::1%eth0", 8443, "/o/r")),
        ("ssh://host/o/r?x#y", ("ssh", None, "host", None, "/o/r?x#y")),  # no query outside of http
        ("https://host/o/r?token=x#y", ("https", None, "host", None, "/o/r")),
        ("https://host/100%/r", ("https", None, "host", None, "/100%/r")),
        ("https://host/%FF/r", ("https", None, "host", None, "/\udcff/r")),
        ("file://localhost/srv/repo", ("file", None, None, None, "/srv/repo")),
        ("C:/repos/app", ("ssh", None, "c", None, "/repos/app")),  # on POSIX, a host
        ("/srv/caf\udce9 x/.git", ("local", None, None, None, "/srv/caf\udce9 x/.git")),
        ("SSH://git@host/o/r", ("helper:SSH", None, None, None, "SSH://git@host/o/r")),
    ],
)
def test_forms_that_are_seldom_seen_are_read_as_git_reads_them(text, parts):
    url = RemoteURL.parse(text)
    assert (url.transport, url.user, url.host, url.port, url.path) == parts


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("/srv/work/.git", (None, "work")),
        ("../repo", (None, "repo")),
        ("..", (None, None)),
        ("https://host/.git", (None, None)),
        ("https://gitlab.com/scm/group/project", ("scm/group", "project")),
        ("https://github.com/owner/repo/extra", ("owner/repo", "extra")),
        ("https://bb.corp.com/users/jdoe/repos/tools/browse", ("~jdoe", "tools")),
        ("https://org.visualstudio.com/DefaultCollection/project/_git/repo", ("org/project", "repo")),
        ("ssh://KEY@git-codecommit.us-east-1.amazonaws.com/v1/repos/MyRepo", (None, "MyRepo")),
    ],
)
def test_owner_and_repository_are_what_people_call_them(text, names):
    url = RemoteURL.parse(text)
    assert (url.owner, url.repository) == names


def test_a_url_that_was_probably_meant_otherwise_comes_with_a_hint():
    assert RemoteURL.parse("HTTPS://github.com/o/r").hint() == "git reads protocols in lower case: write 'https://'"
    assert "ssh://HOST:9999/PATH" in (RemoteURL.parse("git@host.org:9999/Org/Repo.git").hint() or "")
    assert RemoteURL.parse("git@github.com:007/bond").hint() is None
    assert RemoteURL.parse("https://github.com/o/r").hint() is None


# --- secrets (P3) ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "https://ghp_SECRET@host/o/r",
        "https://ghp_SECRET:x-oauth-basic@host/o/r",
        "https://SECRET:@host/o/r",
        "https://:SECRET@host/o/r",
        "https://host/o/r?private_token=SECRET",
        "git+https://x:SECRET@host/o/r@v1",
        "ssh://git:SECRET@host/o/r",
        "[git:SECRET@host]:o/r",
        "hg::https://x:SECRET@host/o/r",
        "hg::https://host/o/r?token=SECRET",
        "hg::https://x:SEC/SECRET@host/o/r",
        "foo://ghp_SECRET@host/o/r",
    ],
)
def test_a_secret_in_a_remote_is_noticed_and_is_nowhere_in_what_is_shown_or_rebuilt(text):
    """P3: the URL is built from its parts, never "stripped"."""
    url = RemoteURL.parse(text)
    assert url.has_secret
    assert "SECRET" not in f"{url} {url!r} {url.path} {url.owner} {url.repository} {url.origin()} {url.hint()}"
    try:
        assert "SECRET" not in url.url()
    except InvalidRemoteURL as error:
        assert url.transport.startswith("helper:")
        assert "SECRET" not in f"{error} {error.hints}"


@pytest.mark.parametrize(
    "text",
    [
        "https://x:SECRET/more@host/o/r",
        "https://x:SECRET@ho st/o/r",
        "ssh://git:SECRET@host:22/o/r",
        "git:SECRET@ho\nst:o/r",
        "git://SECRET@host/o/r",
        "https://SECRET@host/",
    ],
)
def test_the_message_of_a_refused_url_does_not_repeat_it(text):
    with pytest.raises(InvalidRemoteURL) as caught:
        RemoteURL.parse(text)
    assert "SECRET" not in f"{caught.value} {caught.value.hints}"


# --- origins -----------------------------------------------------------------------------------


def test_an_origin_is_scheme_host_and_port_and_nothing_else():
    assert str(Origin.parse("HTTPS://Git.Corp:443/group?x")) == "https://git.corp"
    assert str(Origin.parse("https://git.corp:8443")) == "https://git.corp:8443"
    assert str(Origin.parse("http://[FE80::1]:8080/")) == "http://[fe80::1]:8080"
    assert Origin.parse("https://git.corp") == Origin("https", "Git.Corp", 443)
    assert len({Origin.parse("https://git.corp/"), Origin.parse("https://git.corp:443")}) == 1
    assert Origin.parse("http://git.corp") != Origin.parse("https://git.corp")
    assert RemoteURL.parse("https://x:y@git.corp:8443/o/r").origin() == Origin("https", "git.corp", 8443)
    assert RemoteURL.parse("git@git.corp:o/r").origin() == Origin("ssh", "git.corp")
    assert RemoteURL.parse("git://git.corp/o/r").origin() is None
    assert RemoteURL.parse("/srv/repo").origin() is None


@pytest.mark.parametrize(
    "text", ["", "git.corp", "file:///x", "https://", "https://u:p@h", "https://h:x", "https://h\n"]
)
def test_what_is_no_origin_is_refused(text):
    with pytest.raises(InvalidRemoteURL):
        Origin.parse(text)


# --- a remote rebuilt from a manifest ----------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "url"),
    [
        (("https", "github.com", None, None, "/o/r.git"), "https://github.com/o/r.git"),
        (("https", "GitHub.com", 8443, "ghp_x", "/o/r"), "https://github.com:8443/o/r"),
        (("https", "h", None, None, "/a b/caf\u00e9?x"), "https://h/a%20b/caf%C3%A9%3Fx"),
        (("ssh", "h", None, "git", "/o/r"), "ssh://git@h/o/r"),
        (("ssh", "h", None, "git", "o/r"), "git@h:o/r"),
        (("ssh", "h", None, "git", "v3/o/a%20b"), "git@h:v3/o/a%20b"),
        (("ssh", "h", 2222, "git", "o/r"), "git@[h:2222]:o/r"),
        (("ssh", "h", 2222, None, "~jane/r"), "ssh://h:2222/~jane/r"),
        (("ssh", "::1", None, None, "o/r"), "[::1]:o/r"),
        (("ssh", "h", None, None, ":x"), "[h]::x"),
        (("ssh", "rsync", None, None, "o/r"), "[rsync]:o/r"),  # without brackets, git's former protocol
        (("ssh", "c", None, None, "o/r"), "[c]:o/r"),  # without, a drive of Windows
        (("file", None, None, None, "/srv/a b"), "file:///srv/a%20b"),
        (("local", None, None, None, "/srv/a b"), "/srv/a b"),
        (("helper:hg", None, None, None, "https://h/r"), "hg::https://h/r"),
        (("helper:http", None, None, None, "http://h/r"), "http::http://h/r"),
        (("helper:git+https", "h", None, None, "/o/r@v1"), "git+https://h/o/r%40v1"),
    ],
)
def test_recorded_parts_become_a_url_for_git(parts, url):
    assert RemoteURL.from_parts(*parts).url() == url


@pytest.mark.parametrize(
    "parts",
    [
        ("https", None, None, None, "/o/r"),
        ("https", "-h", None, None, "/o/r"),
        ("https", "h/x", None, None, "/o/r"),
        ("https", "evil@h", None, None, "/o/r"),
        ("https", "h:8443", None, None, "/o/r"),
        ("https", "h", 0, None, "/o/r"),
        ("https", "h", -1, None, "/o/r"),
        ("https", "h", 65536, None, "/o/r"),
        ("https", "h", None, None, "o/r"),
        ("https", "h", None, None, "/o/../r"),
        ("https", "h", None, None, "/"),
        ("https", "h", None, None, None),
        ("https", "h", None, None, "/o\nhost=evil/r"),
        ("https", "h\r", None, None, "/o/r"),
        ("ssh", "-oProxyCommand=x", None, None, "/o/r"),
        ("ssh", "h", None, "-oProxyCommand=x", "/o/r"),
        ("ssh", "h", None, "git:pw", "/o/r"),
        ("ssh", "h", None, "", "/o/r"),
        ("ssh", "h", None, "git", "-o/r"),
        ("ssh", "h", None, "git", "/~jane/r"),  # git cannot be told this: it reads ~jane/r
        ("ssh", "h", None, "git", "a~b/r"),
        ("ssh", "::1", 2222, "git", "o/r"),
        ("ssh", "h", None, "git", "o/r\0"),
        ("ssh", "h", None, "git", ""),
        ("file", None, None, None, "srv/x"),
        ("file", "h", None, None, "/srv/x"),
        ("local", None, None, None, "ext::sh"),
        ("local", None, None, None, "host:path"),
        ("local", None, None, None, "-x"),
        ("helper:hg", None, None, None, "https://x:SECRET@h/r"),
        ("helper:hg", None, None, None, "-x"),
        ("helper:", None, None, None, "x"),
        ("ext::sh -c x", "h", None, None, "/o/r"),
        ("gopher", "h", None, None, "/o/r"),
        ("", "h", None, None, "/o/r"),
        ("https", "h", None, None, "/\ud800"),
    ],
)
def test_recorded_parts_that_would_be_read_otherwise_are_refused(parts):
    with pytest.raises(InvalidRemoteURL) as caught:
        RemoteURL.from_parts(*parts)
    assert "SECRET" not in str(caught.value)


def test_importing_it_on_the_path_of_a_hook_loads_nothing_heavy():
    code = (
        "import sys; before = set(sys.modules); import git_coderepo.git.url.remote\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    printed = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, check=True, text=True, cwd=_ROOT)
    loaded = {name for name in printed.stdout.split() if not name.startswith("git_coderepo")}
    assert loaded <= {"__future__"}


_ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("sign", "\uff0f\uff20\uff1a\uff1f\uff03\u2100\uff3c")
@pytest.mark.parametrize("form", ["https://good.example{}evil.example/x", "ssh://git@good.example{}evil.example/x"])
def test_a_host_with_a_letter_that_becomes_a_separator_is_none(form: str, sign: str) -> None:
    with pytest.raises(InvalidRemoteURL):
        RemoteURL.parse(form.format(sign))
