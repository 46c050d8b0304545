"""Rehearse a runner's fetch, in a process without the user's credentials, configuration and cache."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any, NamedTuple

from git_coderepo.filesystem.scratch import scratch_directory
from git_coderepo.manifest.output_file import OutputFile
from git_coderepo.own_command import own_command
from git_coderepo.runs.manifest_files import write_manifest
from git_coderepo.snapshots.manifest_document import Record

# Variables that describe the network or the machine, without credentials and preferences of the user.
_INHERITED = (
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy",
    "https_proxy", "all_proxy", "no_proxy", "CODEREPO_ALLOW_PROTOCOL", "CODEREPO_ALLOW_SOURCE", "CODEREPO_MAX_WAIT",
    "GIT_EXEC_PATH", "LD_LIBRARY_PATH", "CODEREPO_STORE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION",
    "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE",
)  # fmt: skip


class Rehearsal(NamedTuple):
    """The result of a rehearsal: the exit `status` of the fetch, its lines on standard error (`words`), its `receipt`.

    The receipt is the parsed JSON document (see its schema), None if the fetch failed.
    """

    status: int
    words: tuple[str, ...]
    receipt: Mapping[str, Any] | None

    @property
    def exit_status(self) -> int:
        """0 for success, 1 for failure, 4 if a credential is missing or refused, 128 if the platform is unreachable."""
        if self.status in (0, 4):
            return self.status
        # The fetch ran in another process, whose messages are its only result.
        unreachable = any(line.startswith(("fatal: cannot reach ", "fatal: cannot trust ")) for line in self.words)
        return 128 if unreachable else 1

    def document(self) -> dict[str, object]:
        """Return the rehearsal as a JSON document."""
        return {"status": self.status, "says": list(self.words), "receipt": self.receipt}


def rehearse(
    record: Record, environment: Mapping[str, str], *, credentials: str | None, without_git: bool
) -> Rehearsal:
    """Fetch the code of a manifest into a scratch directory, as a runner with an empty HOME would.

    The process has no keyring, no ssh agent, no user configuration and no cache. `credentials` is the file that
    CODEREPO_CREDENTIALS_FILE will name on the runner. The fetched code is removed at the end. Raises OSError.
    """
    with scratch_directory() as scratch:
        for name in ("home", "empty"):
            os.mkdir(os.path.join(scratch, name))
        manifest, receipt = os.path.join(scratch, "run.json"), os.path.join(scratch, "receipt.json")
        write_manifest(record, OutputFile(os.fsencode(manifest)))
        variables = {name: value for name, value in environment.items() if name in _INHERITED}
        variables.update(
            HOME=os.path.join(scratch, "home"),
            XDG_CONFIG_HOME=os.path.join(scratch, "home"),
            CODEREPO_CACHE_DIR=os.path.join(scratch, "cache"),
            GIT_CONFIG_NOSYSTEM="1",
            GIT_TERMINAL_PROMPT="0",
            # ssh uses the home directory in passwd(5) and ignores HOME, so its files are named here.
            GIT_SSH_COMMAND="ssh -F /dev/null -o BatchMode=yes -o IdentityFile=none -o UserKnownHostsFile=/dev/null",
            PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring",
        )
        if credentials is not None:
            variables["CODEREPO_CREDENTIALS_FILE"] = os.path.abspath(credentials)
        if without_git:
            variables["PATH"] = os.path.join(scratch, "empty")
        command = [*own_command(), "fetch", "--quiet", "--receipt", receipt, manifest, "code"]
        done = subprocess.run(
            command, env=variables, cwd=scratch, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        words = done.stderr.decode("utf-8", "replace").replace(scratch + "/", "").splitlines()
        proved = None
        if done.returncode == 0:
            with open(receipt, encoding="utf-8") as file:
                proved = json.load(file)
    return Rehearsal(done.returncode, tuple(words), proved)
