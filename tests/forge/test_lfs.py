"""The forge's Git LFS, held to git-lfs itself: what it serves is what a user's own client takes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.forge import Forge
from tests.forge.lfs import pointer, put
from tests.support.environment import clean_environment
from tests.support.repo import Repo, run_git

pytestmark = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")


@pytest.mark.parametrize("platform", ["git", "github", "gitlab"])
def test_git_lfs_clones_from_it(tmp_path: Path, platform: str) -> None:
    contents = b"weights " * 40_000
    with Forge(tmp_path / "forge") as forge:
        env = {**clean_environment(tmp_path / "home"), **forge.env}
        source = Repo.init(tmp_path / "source", env)
        source.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
        source.write("weights.bin", pointer(contents))
        source.commit()
        repository = forge.add_repository("acme/widgets", platform=platform, source=source.path)
        put(repository, contents)
        token = forge.add_token(platform)
        run_git("lfs", "install", "--skip-repo", cwd=tmp_path, env=env)
        helper = f"!f() {{ echo username=oauth2; echo password={token}; }}; f"
        run_git("-c", f"credential.helper={helper}", "clone", "--quiet", repository.url, "copy", cwd=tmp_path, env=env)
        assert (tmp_path / "copy" / "weights.bin").read_bytes() == contents
        assert forge.lfs.asked == [1]
        done = subprocess.run(["git", "lfs", "fsck"], cwd=tmp_path / "copy", env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
