"""`verify` and the `ident` attribute: git makes the same blob of anything between the dollars, a runner does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.support import world

RECORDED = b"VERSION = '$Id$'\n"


@pytest.mark.parametrize(
    "planted",
    [
        b"VERSION = '$Id: ' + print('forged') or '$'\n",
        b"VERSION = '$Id: 0123456789012345678901234567890123456789 $'\n",
        b"VERSION = '$Id:$'\n",
    ],
)
def test_code_between_the_dollars_is_a_change(tmp_path: Path, planted: bytes) -> None:
    files = {".gitattributes": b"*.py ident\n*.bat eol=crlf\n", "version.py": RECORDED, "run.bat": b"echo $Id$\n"}
    with world(tmp_path, "file", files=files) as place:
        place.register()
        place.manifest()
        place.runner.run("fetch", "run.json", "code")
        assert place.runner.run("verify", "run.json", "code").status == 0
        version = place.runner.path("code/version.py")
        assert version.read_bytes() != RECORDED
        version.write_bytes(planted)
        answer = place.runner.run("verify", "--json", "run.json", "code", check=False)
        assert (answer.status, answer.json()["changed"]) == (1, ["version.py"])
        # What git stores is the recorded file as well.
        version.write_bytes(RECORDED)
        assert place.runner.run("verify", "run.json", "code").status == 0
        assert os.path.exists(version)
