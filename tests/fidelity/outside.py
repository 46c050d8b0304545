"""Content that Git does not store: what it stores comes back as the same tree, and the manifest names the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.fidelity.case import Stage, Wanted, case

GROUP = "Content outside Git"


def names(*expected: tuple[str, str]) -> Callable[[Any], None]:
    """Assert that a manifest names exactly these (path, reason)."""

    def check(document: Any) -> None:
        found = [(each["path"], each["reason"]) for each in document["code"].get("outside", [])]
        assert sorted(found) == sorted(expected), found

    return check


@case(GROUP, "links out of the checkout and to ignored files: named")
def links(stage: Stage) -> Wanted:
    place = stage.world(files={"train.py": b"x\n", ".gitignore": b"/out/\n"})
    repo = place.checkout
    repo.write("out/model.bin", "ignored\n")
    repo.symlink("latest", "out/model.bin")
    repo.symlink("deep/er/hosts", "/etc/hosts")
    repo.symlink("inside", "train.py")
    repo.commit("links")
    repo.symlink("new link", "../elsewhere")
    (repo.path.parent / "elsewhere").mkdir()
    recorded = names(("latest", "link-unrecorded"), ("deep/er/hosts", "link-outside"), ("new link", "link-outside"))
    return Wanted(place, repo, recorded=recorded)


@case(GROUP, "git-annex, locked: named", needs="git-annex")
def annex_locked(stage: Stage) -> Wanted:
    place = stage.world(files={"train.py": b"x\n"})
    repo = place.checkout
    repo.git("annex", "init", "--quiet")
    repo.write("data/set.bin", "contents\n")
    repo.git("annex", "add", "--quiet", "data/set.bin")
    repo.commit("annexed")
    repo.write("train.py", "y\n")
    return Wanted(place, repo, recorded=names(("data/set.bin", "git-annex")))


@case(GROUP, "git-annex, unlocked and just modified: named", needs="git-annex")
def annex_unlocked(stage: Stage) -> Wanted:
    place = stage.world(files={"train.py": b"x\n"})
    repo = place.checkout
    repo.git("annex", "init", "--quiet")
    repo.git("config", "annex.addunlocked", "true")
    repo.git("config", "annex.largefiles", "include=*.bin")
    for name in ("kept.bin", "modified.bin"):
        repo.write(name, "contents\n")
        repo.git("annex", "add", "--quiet", name)
    repo.commit("annexed")
    repo.write("modified.bin", "modified\n")
    return Wanted(place, repo, recorded=names(("kept.bin", "git-annex"), ("modified.bin", "git-annex")))


@case(GROUP, "DVC files beside ignored data: named")
def dvc(stage: Stage) -> Wanted:
    place = stage.world(files={"train.py": b"x\n", ".gitignore": b"/data.xml\n/model.pkl\n"})
    repo = place.checkout
    repo.write("data.xml", "<x/>\n")
    repo.write("model.pkl", "1\n")
    repo.write("data.xml.dvc", "outs:\n- md5: a304afb96060aad90176268345e10355\n  path: data.xml\n")
    lock = "schema: '2.0'\nstages:\n  train:\n    cmd: x\n    outs:\n    - path: model.pkl\n      md5: b\n"
    repo.write("dvc.lock", lock)
    repo.commit("tracked by DVC")
    return Wanted(place, repo, recorded=names(("data.xml.dvc", "pointer-file"), ("dvc.lock", "pointer-file")))


@case(GROUP, "a filter and an attribute outside the tree: named")
def configured_here(stage: Stage) -> Wanted:
    place = stage.world(files={"train.py": b"x\n"})
    repo = place.checkout
    repo.git("config", "filter.shift.clean", "tr a-y b-z")
    repo.git("config", "filter.shift.smudge", "tr b-z a-y")
    (repo.git_dir() / "info/attributes").write_text("*.nb filter=shift\n*.bat eol=crlf\n")
    repo.write("a.nb", "hello\n")
    repo.write("run.bat", "dir\r\n")
    repo.commit("converted")
    repo.write("new.nb", "hello\n")
    recorded = names(("a.nb", "filter"), ("new.nb", "filter"), ("run.bat", "attribute"))
    return Wanted(place, repo, recorded=recorded)
