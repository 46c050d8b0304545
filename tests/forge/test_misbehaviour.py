"""Each misbehaviour does what it says, once."""

from __future__ import annotations

import gzip
import time
import zlib
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial

import pytest
import requests
import urllib3

from tests.forge import (
    BrokenGzip,
    Cut,
    Delay,
    Forge,
    Gone,
    Hangup,
    Html,
    LimitReset,
    MissingEntry,
    OtherCommit,
    Redirect,
    Repository,
    Reset,
    RetryAfter,
    RewrittenTar,
    Slow,
    Stall,
    Status,
    Typed,
    WrongByte,
    closed_port,
)
from tests.forge.client import Client, unpack
from tests.support.repo import Repo, tree_of


@pytest.fixture
def archive_url(forge: Forge, gitlab: Repository, code: Repo) -> str:
    return f"{forge.api_url('gitlab')}/projects/{gitlab.id}/repository/archive.tar.gz?sha={code.head()}"


@pytest.fixture
def token(forge: Forge) -> str:
    return forge.add_token("gitlab")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_cut_is_noticed_by_http(forge, archive_url, token, client, framing):
    forge.misbehave("archive", Cut(after=10_000, framing=framing))
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        client.get(archive_url, token)
    assert client.get(archive_url, token).status_code == 200


@pytest.mark.parametrize("framing", ["terminated", "close"])
def test_a_cut_that_http_does_not_tell(tmp_path, code, framing):
    with Forge(tmp_path / "forge", tls=False) as forge:
        repository = forge.add_repository("a/b", platform="gitlab", private=False, source=code.path)
        forge.misbehave("archive", Cut(after=10_000, framing=framing))
        client = Client(forge)
        with client.session:
            assert len(client.gitlab(f"/projects/{repository.id}/repository/archive.tar.gz").content) == 10_000


@pytest.mark.slow
def test_wrong_archives(forge, gitlab, archive_url, token, client, code, env, tmp_path):
    first = code.line("rev-parse", "HEAD~1")
    proper = gzip.decompress(client.get(archive_url, token).content)

    def renamed(tar: bytes) -> bytes:
        return tar.replace(b"/train.py", b"/tra1n.py")

    trees = {}
    for number, wrong in enumerate(
        [WrongByte(), WrongByte("lib/run me.sh"), MissingEntry("added.txt"), OtherCommit(first), RewrittenTar(renamed)]
    ):
        forge.misbehave("archive", wrong)
        answer = client.get(archive_url, token)
        assert answer.status_code == 200
        assert len(gzip.decompress(answer.content)) % 512 == 0
        trees[wrong] = tree_of(unpack(answer.content, tmp_path / str(number)), env)
    assert len(set(trees.values()) | {code.tree()}) == 5  # all differ, but for the two that are the first commit
    assert trees[MissingEntry("added.txt")] == trees[OtherCommit(first)]
    for truncated in (True, False):
        forge.misbehave("archive", BrokenGzip(truncated))
        with pytest.raises((EOFError, OSError, zlib.error)):
            gzip.decompress(client.get(archive_url, token).content)
    assert gzip.decompress(client.get(archive_url, token).content) == proper


def test_limits_errors_and_pages(forge, archive_url, token, client):
    forge.misbehave("archive", RetryAfter(3))
    forge.misbehave("archive", RetryAfter(4, status=403))
    forge.misbehave("archive", LimitReset(100))
    forge.misbehave("archive", Status(503), times=2)
    forge.misbehave("archive", Html())
    forge.misbehave("archive", Gone())
    answers = [client.get(archive_url, token) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [429, 403, 403, 503, 503, 200, 404, 200]
    assert [answers[0].headers["retry-after"], answers[1].headers["retry-after"]] == ["3", "4"]
    assert answers[2].headers["x-ratelimit-remaining"] == "0"
    assert 90 < int(answers[2].headers["x-ratelimit-reset"]) - time.time() <= 101
    assert answers[5].headers["content-type"].startswith("text/html")
    assert answers[6].json() == {"message": "404 File Not Found"}
    assert answers[7].content.startswith(b"\x1f\x8b")


def test_redirects_to_a_foreign_host_are_recorded(forge, archive_url, token, client):
    locations = []
    for to in ("evil", "http", "loop", "https://other.example/x"):
        forge.misbehave("archive", Redirect(to))
        locations.append(client.get(archive_url, token).headers["location"])
    assert locations[0].startswith("https://localhost:")
    assert locations[1].startswith("http://127.0.0.1:")
    assert locations[2:] == [archive_url, "https://other.example/x"]
    assert forge.origins_that_saw(token) == {forge.url}
    assert client.get(locations[0]).status_code == 401
    assert client.get(locations[0], token).status_code == 200
    assert forge.origins_that_saw(token) == {forge.url, forge.evil_url}
    assert client.session.get(locations[1], auth=("oauth2", token)).status_code == 404
    assert forge.plain_url in forge.origins_that_saw(token)


@pytest.mark.slow
def test_slow_stalled_and_dropped_answers(forge, archive_url, token, client):
    impatient = partial(
        client.session.get,
        archive_url,
        headers={"PRIVATE-TOKEN": token},
        verify=str(forge.ca_file),
        stream=True,
        timeout=(20, 0.3),
    )
    forge.misbehave("archive", Delay(3600))
    with pytest.raises(requests.exceptions.ReadTimeout):
        impatient()
    forge.misbehave("archive", Slow(200))
    with impatient() as answer:
        assert 0 < len(answer.raw.read1(1000)) <= 10  # a twentieth of a second's worth
    forge.misbehave("archive", Stall(after=1000))
    with impatient() as answer:
        assert len(answer.raw.read(1000)) == 1000
        with pytest.raises(Exception, match="timed out"):
            answer.raw.read(1)
    forge.misbehave("archive", Hangup(), skip=1)
    assert client.get(archive_url, token).status_code == 200
    with pytest.raises(requests.exceptions.ConnectionError):
        client.get(archive_url, token)
    with pytest.raises(requests.exceptions.ConnectionError):
        client.get(f"http://127.0.0.1:{closed_port()}/")


def test_a_commit_that_housekeeping_removed_is_gone(forge, github, code, client):
    token = forge.add_token("github")
    head = code.head()
    github.git("update-ref", "refs/heads/main", f"{head}~1")
    github.prune()
    assert client.github(f"/repos/acme/widgets/git/commits/{head}", token).status_code == 404
    assert client.github(f"/repos/acme/widgets/tarball/{head}", token).status_code == 404


@pytest.mark.slow
def test_a_reset_comes_after_what_was_sent(forge, archive_url, token, client):
    forge.misbehave("archive", Reset(after=100))
    named = {"Authorization": f"Bearer {token}"}
    with client.session.get(archive_url, headers=named, stream=True, verify=str(forge.ca_file)) as answer:
        assert answer.status_code == 200
        assert len(answer.raw.read(100)) == 100
        with pytest.raises(urllib3.exceptions.ProtocolError, match="broken"):
            answer.raw.read(1)
    assert client.get(archive_url, token).status_code == 200


def test_another_content_type_and_another_clock(forge, archive_url, token, client):
    forge.misbehave("archive", Typed("text/plain"))
    forge.misbehave("archive", RetryAfter(5, as_date=True, clock=86400))
    forge.misbehave("archive", LimitReset(5, clock=-86400, prefix="ratelimit"))
    typed, dated, reset = (client.get(archive_url, token) for _ in range(3))
    assert typed.headers["content-type"] == "text/plain" and typed.content.startswith(b"\x1f\x8b")
    then, until = (parsedate_to_datetime(dated.headers[name]) for name in ("date", "retry-after"))
    assert (until - then).total_seconds() == 5 and then.timestamp() > time.time() + 80000
    assert int(reset.headers["ratelimit-reset"]) < time.time() - 80000 and "x-ratelimit-reset" not in reset.headers


def test_a_certificate_of_another_time(forge, archive_url, token, client):
    forge.certify(datetime(2019, 1, 1), datetime(2020, 1, 1))
    client.session.close()
    with pytest.raises(requests.exceptions.SSLError, match="expired"):
        client.get(archive_url, token)
    forge.certify()
    assert client.get(archive_url, token).status_code == 200
