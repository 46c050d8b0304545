"""A server that speaks S3 (moto's), in a process of its own, and one that refuses everybody."""

from __future__ import annotations

import http.server
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


class S3Server:
    """One bucket, `code`; `env` is what a machine with the right to use it has in its environment."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self._log = log
        self.env = {**credentials(url), "CODEREPO_STORE": "s3://code/runs"}

    def ask(self, method: str, path: str, data: bytes | None = None) -> bytes:
        """One request; moto looks at whether it is signed, and not how."""
        who = (
            f"AWS4-HMAC-SHA256 Credential={KEY_ID}/20260102/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
        )
        headers = {"Authorization": who, "Content-Type": "application/octet-stream"}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers, method=method)) as answer:
            contents: bytes = answer.read()
        return contents

    def keys(self) -> list[str]:
        return re.findall(r"<Key>([^<]*)</Key>", self.ask("GET", "/code?list-type=2").decode())

    def empty(self) -> None:
        for key in self.keys():
            self.ask("DELETE", f"/code/{key}")

    def requests(self, method: str) -> list[str]:
        """The paths of the requests for objects that arrived so far."""
        return re.findall(rf"{method} (/code/[^ ?]+)[^\"]*HTTP", self._log.read_text())

    def forget_requests(self) -> None:
        self._log.write_text("")


def credentials(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def s3_server(directory: Path) -> Iterator[S3Server]:
    log = directory / "s3.log"
    with log.open("ab") as file:  # appended to, so that the log can be emptied meanwhile
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], stdout=file, stderr=file
        )
    try:
        deadline = time.monotonic() + 60
        while (url := re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text())) is None:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        server = S3Server(url.group(1), log)
        server.ask("PUT", "/code")
        yield server
    finally:
        process.kill()
        process.wait()


@contextmanager
def refusing_server() -> Iterator[str]:
    """The URL of a server that answers as S3 does to whom it allows nothing."""

    class Refuses(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = answer

        def log_message(self, format: str, *arguments: object) -> None:
            return None

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
