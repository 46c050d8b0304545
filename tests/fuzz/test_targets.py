"""Every target takes its seeds and what is made of them; guided by coverage it is fuzzed with `make fuzz`."""

from __future__ import annotations

import random

import pytest

from git_coderepo.git.lfs_pointer import Pointer
from git_coderepo.git.url.remote import RemoteURL
from tests.fuzz import manifest, parsed, tar
from tests.fuzz.targets import TARGETS, mutated

# As many as take a second or two.
COUNTS = {"tar": 1500, "manifest": 60, "url": 5000, "parsed": 3000}


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_errors_of_ours_comes_of_seeds_and_mutations(name: str) -> None:
    target = TARGETS[name]
    seeds = list(target.seeds())
    assert len(seeds) > 20
    chance = random.Random(20261125)
    for data in [*seeds, *(mutated(seeds, chance) for _ in range(COUNTS[name]))]:
        try:
            target.one(data[: target.longest])
        except BaseException as error:
            raise AssertionError(f"a finding: {data!r}") from error


def test_each_target_finds_what_it_is_there_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that could not fail would say nothing: each is shown something that is wrong."""

    def raises(name: str) -> None:
        with pytest.raises((AssertionError, UnicodeDecodeError)):
            for seed in TARGETS[name].seeds():
                TARGETS[name].one(seed)

    with monkeypatch.context() as patched:
        patched.setattr(tar, "blob_id", lambda *_: b"another")
        raises("tar")
    with monkeypatch.context() as patched:
        patched.setattr(manifest, "read", lambda document, data: None)
        raises("manifest")
    with monkeypatch.context() as patched:
        patched.setattr(RemoteURL, "url", lambda self: "--upload-pack=evil")
        raises("url")
    with monkeypatch.context() as patched:
        patched.setattr(parsed, "read_pointer", lambda contents, path: Pointer("1" * 64, -1))
        raises("parsed")
