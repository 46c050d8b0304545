"""HTTP as the platforms use it: whom a credential is sent to, what is waited for, what is believed."""

from __future__ import annotations

import gzip
import os
import socket
import ssl
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
import requests
import trustme

from git_coderepo.errors import (
    CodeRepoError,
    DownloadDamaged,
    HostUnreachable,
    ProtocolNotAllowed,
    RateLimited,
    UnexpectedAnswer,
)
from git_coderepo.git.url.remote import Origin
from git_coderepo.transport.http import Http
from git_coderepo.transport.http_failures import unreachable
from git_coderepo.transport.proxy import ca_bundle
from tests.forge import closed_port
from tests.platform_server import Answer, Server, Tokens, archive_answer, json_answer, serving

TOKEN = "s3cr3t-t0ken"


@pytest.fixture(autouse=True)
def user(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in {**env, "CODEREPO_ALLOW_PROTOCOL": "file:http"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def stranger() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def tokens(server: Server) -> Tokens:
    return Tokens({server.url: TOKEN})


@pytest.fixture
def http(tokens: Tokens) -> Iterator[Http]:
    http = Http(tokens, max_wait=3)
    yield http
    http.close()


def redirect(to: str, status: int = 302) -> Answer:
    return Answer(status, b"", {"Location": to})


# --- whom a credential is sent to ----------------------------------------------------------------


def test_a_token_is_sent_to_its_own_origin(server: Server, http: Http, tokens: Tokens) -> None:
    server.answers["/x"] = json_answer('{"ok": true}')
    response = http.get(f"{server.url}/x")
    assert response.json() == {"ok": True}
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert server.requests[0].headers["user-agent"].startswith("git-coderepo/")
    assert tokens.acceptances == [(server.url, "/x")]


def test_an_origin_without_a_credential_is_asked_without_one(stranger: Server, http: Http) -> None:
    stranger.answers["/x"] = json_answer("{}")
    http.get(f"{stranger.url}/x").json()
    assert "authorization" not in stranger.requests[0].headers


@pytest.mark.parametrize("header", ["Authorization", "JOB-TOKEN", "PRIVATE-TOKEN"])
def test_a_redirect_to_another_origin_carries_no_credential(
    server: Server, stranger: Server, tokens: Tokens, header: str
) -> None:
    server.answers["/x"] = redirect(f"{stranger.url}/y?signature=abc")
    stranger.answers["/y"] = json_answer("{}")
    http = Http(tokens, authorize=lambda credential: (header, credential.secret.reveal()))
    http.get(f"{server.url}/x").json()
    http.close()
    assert server.requests[0].headers[header.lower()] == TOKEN
    assert TOKEN not in str(stranger.requests)
    assert stranger.requests[0].query == "signature=abc"


def test_another_port_of_the_same_host_is_another_origin(server: Server, stranger: Server, http: Http) -> None:
    assert Origin.parse(server.url).host == Origin.parse(stranger.url).host
    server.answers["/x"] = redirect(f"{stranger.url}/y")
    stranger.answers["/y"] = json_answer("{}")
    http.get(f"{server.url}/x").close()
    assert TOKEN not in str(stranger.requests)


@pytest.mark.parametrize("target", ["/y", "y", "{server}/y"])
def test_a_redirect_within_the_origin_keeps_the_credential(server: Server, http: Http, target: str) -> None:
    server.answers["/x"] = redirect(target.format(server=server.url), 301)
    server.answers["/y"] = json_answer("{}")
    http.get(f"{server.url}/x").json()
    assert [request.headers.get("authorization") for request in server.requests] == [f"Bearer {TOKEN}"] * 2


def test_a_redirect_back_home_is_anonymous_until_home_asks(server: Server, stranger: Server, http: Http) -> None:
    server.answers["/x"] = redirect(f"{stranger.url}/y")
    stranger.answers["/y"] = redirect(f"{server.url}/z")
    server.answers["/z"] = json_answer("{}")
    http.get(f"{server.url}/x").json()
    assert "authorization" not in server.requests[-1].headers


def test_a_redirect_target_that_wants_a_credential_gets_its_own(
    server: Server, stranger: Server, tokens: Tokens
) -> None:
    tokens.tokens[stranger.url] = "its-own"
    server.answers["/x"] = redirect(f"{stranger.url}/y")
    stranger.answers["/y"] = lambda request: (
        json_answer("{}") if request.headers.get("authorization") == "Bearer its-own" else json_answer("{}", 401)
    )
    http = Http(tokens)
    assert http.get(f"{server.url}/x").status == 200
    http.close()
    assert TOKEN not in str(stranger.requests)


def test_a_credential_of_the_platforms_other_origin_serves_by_its_table(server: Server, stranger: Server) -> None:
    tokens = Tokens({stranger.url: TOKEN})
    server.answers["/x"] = json_answer("{}")
    http = Http(tokens, credential_origin=lambda origin: Origin.parse(stranger.url))
    http.get(f"{server.url}/x").close()
    http.close()
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert tokens.acceptances == [(stranger.url, "/x")]


def test_netrc_is_never_read(server: Server, stranger: Server, home: Path) -> None:
    (home / ".netrc").write_text("machine 127.0.0.1 login ada password from-netrc\n")
    (home / ".netrc").chmod(0o600)
    server.answers["/x"] = json_answer("{}")
    http = Http(Tokens())
    http.get(f"{server.url}/x").close()
    http.close()
    assert "authorization" not in server.requests[0].headers


def test_cookies_are_not_kept(server: Server, http: Http) -> None:
    server.answers["/x"] = json_answer("{}", Set_Cookie="session=1; Path=/")
    http.get(f"{server.url}/x").json()
    http.get(f"{server.url}/x").json()
    assert "cookie" not in server.requests[1].headers


# --- where a redirect may lead ---------------------------------------------------------------------


def test_a_circle_of_redirects_is_refused(server: Server, http: Http) -> None:
    server.answers["/x"] = redirect("/y")
    server.answers["/y"] = redirect("/x")
    with pytest.raises(UnexpectedAnswer, match="circle"):
        http.get(f"{server.url}/x")


def test_five_redirects_are_followed_and_not_six(server: Server, http: Http) -> None:
    for number in range(6):
        server.answers[f"/{number}"] = redirect(f"/{number + 1}")
    server.answers["/6"] = json_answer("{}")
    assert http.get(f"{server.url}/1").status == 200
    with pytest.raises(UnexpectedAnswer, match="more than 5"):
        http.get(f"{server.url}/0")


@pytest.mark.parametrize(
    "target", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://ada:pw@127.0.0.1/x", "http://[", "//"]
)
def test_a_redirect_to_no_server_is_refused(server: Server, http: Http, target: str) -> None:
    server.answers["/x"] = redirect(target)
    with pytest.raises((UnexpectedAnswer, ProtocolNotAllowed)):
        http.get(f"{server.url}/x")


def test_an_https_server_may_not_redirect_to_http(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trusted_server(tmp_path, monkeypatch) as secure:
        secure.answers["/x"] = redirect(f"{server.url}/y")
        http = Http(Tokens())
        with pytest.raises(ProtocolNotAllowed, match="not https"):
            http.get(f"{secure.url}/x")
        http.close()
    assert server.requests == []


def test_http_needs_to_be_allowed(server: Server, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEREPO_ALLOW_PROTOCOL", "file")
    with pytest.raises(ProtocolNotAllowed) as raised:
        http.get(f"{server.url}/x")
    assert "CODEREPO_ALLOW_PROTOCOL=file:http" in raised.value.hints[0]
    assert server.requests == []


@pytest.mark.parametrize("host", ["example.org", "10.0.0.1", "localhost.example.org", "127.0.0.1.example.org"])
def test_http_is_for_this_machine_only(http: Http, host: str) -> None:
    with pytest.raises(ProtocolNotAllowed, match="not encrypted"):
        http.get(f"http://{host}/x")


# --- rate limits -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "limit",
    [
        pytest.param(lambda: json_answer("{}", 429, Retry_After="1"), id="429"),
        pytest.param(lambda: json_answer("{}", 403, Retry_After="0"), id="403 with Retry-After"),
        pytest.param(lambda: json_answer("{}", 503, Retry_After="0"), id="503 with Retry-After"),
        pytest.param(lambda: json_answer("{}", 429), id="429 that does not say how long"),
        pytest.param(lambda: json_answer("{}", 429, Retry_After=formatdate(time.time() + 1, usegmt=True)), id="a date"),
        pytest.param(
            lambda: json_answer("{}", 403, X_RateLimit_Remaining="0", X_RateLimit_Reset=str(int(time.time()) + 1)),
            id="GitHub",
        ),
        pytest.param(
            lambda: json_answer("{}", 429, RateLimit_Remaining="0", RateLimit_Reset=str(int(time.time()) + 1)),
            id="GitLab",
        ),
    ],
)
def test_a_short_limit_is_waited_for_and_said(server: Server, tokens: Tokens, limit: object) -> None:
    said: list[str] = []
    # urllib3 asks twice more by itself after a 503.
    server.answers["/x"] = [*[limit()] * (3 if limit().status == 503 else 1), json_answer('{"ok": 1}')]  # type: ignore[operator]
    http = Http(tokens, max_wait=5, notify=said.append)
    assert http.get(f"{server.url}/x").json() == {"ok": 1}
    http.close()
    assert len(said) == 1 and server.url in said[0]


def test_a_limit_longer_than_allowed_ends_at_once(server: Server, http: Http) -> None:
    server.answers["/x"] = json_answer("{}", 429, Retry_After="1800")
    with pytest.raises(RateLimited) as raised:
        http.get(f"{server.url}/x")
    assert "1800 seconds" in raised.value.message
    assert raised.value.hints == (
        "git config coderepo.maxWait 1800",
        "outside a checkout: export CODEREPO_MAX_WAIT=1800",
    )


@pytest.mark.parametrize("hours", [-24, 24])
def test_the_clock_of_a_limit_is_the_servers_own(server: Server, tokens: Tokens, hours: int) -> None:
    """A clock that is wrong, here or there, makes no limit a day longer, and none that is over at once."""
    there = time.time() + 3600 * hours
    for named in ({"Retry_After": formatdate(there + 40, usegmt=True)}, {"RateLimit_Reset": str(int(there) + 40)}):
        answer = json_answer("{}", 429, Date=formatdate(there, usegmt=True), RateLimit_Remaining="0", **named)
        server.answers["/x"] = answer
        http = Http(tokens, max_wait=3)
        with pytest.raises(RateLimited, match=r"in (39|40|41) seconds"):
            http.get(f"{server.url}/x")
        http.close()


@pytest.mark.slow
def test_a_limit_that_never_ends_is_given_up(server: Server, http: Http) -> None:
    server.answers["/x"] = json_answer("{}", 429, Retry_After="0")
    with pytest.raises(RateLimited, match="after 3 seconds of waiting"):
        http.get(f"{server.url}/x")
    assert len(server.requests) < 8, "each time it is left alone for longer"


def test_without_a_token_the_hint_is_to_get_one(stranger: Server, http: Http) -> None:
    stranger.answers["/x"] = json_answer(
        "{}", 403, X_RateLimit_Remaining="0", X_RateLimit_Reset=str(int(time.time()) + 9999)
    )
    with pytest.raises(RateLimited) as raised:
        http.get(f"{stranger.url}/x")
    assert any("git coderepo login" in hint for hint in raised.value.hints)


def test_a_403_with_requests_left_is_no_limit(server: Server, http: Http) -> None:
    server.answers["/x"] = json_answer("{}", 403, X_RateLimit_Remaining="59", X_RateLimit_Reset="1")
    assert http.get(f"{server.url}/x").status == 403


def test_a_server_that_stumbles_is_asked_again(server: Server, http: Http) -> None:
    server.answers["/x"] = [Answer(502, b"bad gateway"), json_answer('{"ok": 1}')]
    assert http.get(f"{server.url}/x").json() == {"ok": 1}


@pytest.mark.slow
def test_a_server_that_stays_down_says_so(server: Server, http: Http) -> None:
    server.answers["/x"] = Answer(500, b"oops")
    assert http.get(f"{server.url}/x").status == 500
    assert len(server.requests) == 3


# --- no answer ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_unknown_host_name_is_told(http: Http) -> None:
    with pytest.raises(HostUnreachable, match="unknown host name"):
        http.get("https://nowhere.invalid/x")


@pytest.mark.slow
def test_a_refused_connection_is_told(http: Http) -> None:
    with pytest.raises(HostUnreachable, match="connection refused"):
        http.get(f"https://127.0.0.1:{closed_port()}/x")


def test_a_timeout_is_told() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(requests.RequestException) as raised, requests.Session() as session:
            session.get(url, timeout=0.2)
        error = unreachable(Origin.parse(url), raised.value)
    assert isinstance(error, HostUnreachable) and "timed out" in error.message


def test_a_connection_closed_without_a_word_is_told(http: Http) -> None:
    import threading

    def hang_up(listener: socket.socket) -> None:
        while True:
            try:
                listener.accept()[0].close()
            except OSError:
                return

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        thread = threading.Thread(target=hang_up, args=(listener,))
        thread.start()
        try:
            with pytest.raises(HostUnreachable, match="closed the connection"):
                http.get(url)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_plain_text_behind_https_is_told(server: Server, http: Http) -> None:
    with pytest.raises(HostUnreachable, match="no TLS connection"):
        http.get(server.url.replace("http://", "https://"))


def test_a_certificate_that_nobody_vouches_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with trusted_server(tmp_path, monkeypatch) as secure:
        monkeypatch.delenv("GIT_SSL_CAINFO")
        http = Http(Tokens({secure.url: TOKEN}))
        with pytest.raises(HostUnreachable, match="certificate does not verify") as raised:
            http.get(f"{secure.url}/x")
        http.close()
    assert "GIT_SSL_CAINFO" in raised.value.hints[0]
    assert secure.requests == []


@pytest.mark.parametrize("name", ["GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_certificate_authority_is_named_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with trusted_server(tmp_path, monkeypatch, name) as secure:
        secure.answers["/x"] = json_answer("{}")
        http = Http(Tokens())
        assert http.get(f"{secure.url}/x").status == 200
        http.close()


def test_gits_name_for_the_authority_comes_first() -> None:
    assert ca_bundle({"SSL_CERT_FILE": "b", "GIT_SSL_CAINFO": "a"}) == "a"
    assert ca_bundle({}) is None


def test_a_missing_file_of_authorities_is_told(http: Http, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_SSL_CAINFO", str(tmp_path / "gone.pem"))
    with pytest.raises(HostUnreachable, match=r"gone\.pem"):
        http.get(f"https://127.0.0.1:{closed_port()}/x")


def test_a_proxy_of_the_environment_is_used(server: Server, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.answers["http://localhost:9/x"] = json_answer('{"by": "proxy"}')
    assert http.get("http://localhost:9/x").json() == {"by": "proxy"}
    assert TOKEN not in str(server.requests)


@pytest.mark.slow
def test_a_proxy_that_does_not_answer_is_told(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(HostUnreachable, match="through the proxy"):
        http.get("https://github.com/x")


# --- what is shown ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_no_message_and_no_cause_holds_a_token_or_a_query(server: Server, http: Http) -> None:
    server.answers["/x"] = redirect(f"https://127.0.0.1:{closed_port()}/y?X-Signature={TOKEN}")
    with pytest.raises(CodeRepoError) as raised:
        http.get(f"{server.url}/x")
    assert TOKEN not in str(raised.value) + str(raised.value.hints)
    assert raised.value.__cause__ is None and raised.value.__context__ is None


def test_the_trace_names_requests_without_query_and_token(
    server: Server, http: Http, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_TRACE", "1")
    server.answers["/x"] = json_answer("{}")
    http.get(f"{server.url}/x?private_token={TOKEN}").close()
    shown = capsys.readouterr().err
    assert f"GET {server.url}/x?**** 200" in shown and TOKEN not in shown


# --- what is believed -----------------------------------------------------------------------------------


def test_a_page_is_no_json(server: Server, http: Http) -> None:
    server.answers["/x"] = Answer(200, b"<html>log in</html>", {"Content-Type": "text/html; charset=utf-8"})
    with pytest.raises(UnexpectedAnswer, match="'text/html' where JSON"):
        http.get(f"{server.url}/x").json()


@pytest.mark.parametrize("text", ["[1, 2]", "{", "", "\udcff"])
def test_json_of_another_shape_is_refused(server: Server, http: Http, text: str) -> None:
    server.answers["/x"] = Answer(200, os.fsencode(text), {"Content-Type": "application/json"})
    with pytest.raises(UnexpectedAnswer, match="does not describe"):
        http.get(f"{server.url}/x").json()


@pytest.mark.parametrize("kind", ["text/html", "application/json", "text/plain", "application/xhtml+xml", "image/png"])
def test_a_body_of_another_type_is_no_archive_even_if_it_is_gzip(server: Server, http: Http, kind: str) -> None:
    server.answers["/x"] = Answer(200, gzip.compress(b"x"), {"Content-Type": kind})
    with pytest.raises(UnexpectedAnswer, match="where an archive"):
        http.get(f"{server.url}/x").archive()


@pytest.mark.parametrize("body", [b"", b"\x1f", b"<html></html>", b"PK\3\4"])
def test_a_body_that_does_not_begin_as_gzip_is_no_archive(server: Server, http: Http, body: bytes) -> None:
    server.answers["/x"] = archive_answer(body)
    with pytest.raises(UnexpectedAnswer, match="did not return a gzip archive"):
        http.get(f"{server.url}/x").archive()


@pytest.mark.parametrize("chunked", [False, True])
def test_an_archive_streams_in_and_is_counted(server: Server, http: Http, chunked: bool) -> None:
    body = gzip.compress(os.urandom(300_000))
    server.answers["/x"] = archive_answer(body, chunked=chunked)
    with http.get(f"{server.url}/x").archive() as stream:
        assert stream.read(1) + stream.read(0) + stream.read(10) == body[:11]
        rest = stream.read()
        assert stream.read(100) == b""
    assert body[:11] + rest == body
    assert stream.received == len(body)
    assert stream.closed


def test_an_archive_is_given_as_it_was_sent(server: Server, http: Http) -> None:
    body = gzip.compress(b"x" * 1000)
    server.answers["/x"] = Answer(200, body, {"Content-Type": "application/x-tar", "Content-Encoding": "gzip"})
    with http.get(f"{server.url}/x").archive() as stream:
        assert stream.read() == body


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [-1, 1000])
def test_a_download_that_is_cut_off_is_damaged(server: Server, http: Http, chunked: bool, size: int) -> None:
    body = gzip.compress(os.urandom(200_000))
    server.answers["/x"] = archive_answer(body, cut=100_000, chunked=chunked)
    with (
        http.get(f"{server.url}/x").archive() as stream,
        pytest.raises(DownloadDamaged, match="broke off after") as raised,
    ):
        while stream.read(size):
            pass
    assert stream.closed
    assert raised.value.__context__ is None


def trusted_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str = "GIT_SSL_CAINFO"):
    """An https server on localhost whose authority the environment names."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    return serving(tls=context)
