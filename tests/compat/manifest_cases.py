"""One manifest of every kind: how its checkout looks, how it is recorded, and how it is fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.compat.machines import clone
from tests.compat.platforms import Platforms
from tests.e2e.support import Machine
from tests.forge.lfs import pointer, put
from tests.support.repo import Repo

WEIGHTS = bytes(range(256)) * 8
NEW_WEIGHTS = bytes(reversed(range(256))) * 8
ATTRIBUTES = b"*.crlf text eol=crlf\n*.u16 text working-tree-encoding=UTF-16LE-BOM\n*.id ident\n"
FILES: Mapping[bytes, bytes] = {
    b".gitattributes": ATTRIBUTES,
    b".gitignore": b"*.log\nout/\n",
    b"train.py": b"lr = 0.1\n",
    b"requirements.txt": b"numpy==2.1.0\n",
    b"run.sh": b"#!/bin/sh\necho ran\n",
    b"docs/read me.txt": b"caf\xc3\xa9\n",
    b"docs/dos.crlf": b"a\r\nb\r\n",
    b"docs/wide.u16": "\ufeffwide\n".encode("utf-16-le"),
    b"docs/named.id": b"$Id$\n",
    b"services/train/main.py": b"print('train')\n",
    b"services/other/main.py": b"print('other')\n",
    b"data/weights.bin": WEIGHTS,
}
LFS_FILES: Mapping[bytes, bytes] = {
    b".gitattributes": b"*.bin filter=lfs diff=lfs merge=lfs -text\n",
    b"train.py": b"lr = 0.1\n",
    b"weights.bin": pointer(WEIGHTS),
}
ODD_FILES: Mapping[bytes, bytes] = {
    b"caf\xe9.py": b"x = 1\n",
    b"-rf": b"a leading dash\n",
    b"line\nbreak/two words": b"x\n",
    b"train.py": b"lr = 0.1\n",
}
CUSTOM_CLASS = '''\
"""A platform of a company's own, which gives the files of a commit and nothing better."""

import os
import subprocess

from git_coderepo import BaseCodeRepository, Option


class Files(BaseCodeRepository):
    options = (Option("url", "where the repository is"),)

    def __init__(self, name, options):
        super().__init__(name, options)
        self.url = options["url"]

    def login(self):
        pass

    def download_files(self, commit, directory, repo_sub_directory):
        git = ["git", "-C", directory, "--git-dir", os.path.join(directory, "aside")]
        subprocess.run(["git", "init", "--quiet", "--bare", git[-1]], check=True)
        subprocess.run([*git, "fetch", "--quiet", "--depth=1", self.url, commit], check=True)
        tar = subprocess.run([*git, "archive", commit], check=True, stdout=subprocess.PIPE).stdout
        subprocess.run(["rm", "-rf", git[-1]], check=True)
        subprocess.run(["tar", "-x", "-C", directory], input=tar, check=True)

    def get_local_context(self, path):
        return None
'''
CUSTOM_MODULE = "compat_files"
CUSTOM = {"CODEREPO_ALLOW_SOURCE": f"{CUSTOM_MODULE}.Files"}


@dataclass(frozen=True)
class Case:
    """`prepare` leaves the checkout as it is recorded; `after` is what a runner needs that a manifest does not say.

    `methods` are those by which it is fetched while the receipts are recorded.
    """

    name: str
    kind: str
    repository: str
    prepare: Callable[[Checkout], None]
    snapshot: Sequence[str] = ()
    fetch: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    runner: Mapping[str, str] = field(default_factory=dict)
    methods: Sequence[str] = ("auto",)
    fetched: bool = True
    register: bool = True


@dataclass
class Checkout:
    """What `prepare` works on."""

    repo: Repo
    user: Machine
    platforms: Platforms


def seed(platforms: Platforms, author: Machine) -> None:
    """Give the platforms the repositories that the cases are about."""

    def author_of(name: str, files: Mapping[bytes, bytes], object_format: str = "sha1") -> Repo:
        repo = Repo.init(author.home / name.replace("/", "-"), author.env, object_format=object_format)
        for path, contents in files.items():
            repo.write(path, contents, mode=0o755 if path.endswith(b".sh") else None)
        if b"run.sh" in files:
            repo.symlink("latest", "services/train")
        repo.commit("first")
        return repo

    widgets = author_of("acme/widgets", FILES)
    platforms.add("github", "acme/widgets", private=True, source=widgets.path)
    library = author_of("acme/library", {b"lib.py": b"x = 1\n", b"data/big.bin": WEIGHTS})
    hosted = platforms.add("github", "acme/library", private=True, source=library.path)
    models = author_of("ml/models", LFS_FILES)
    models.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{library.path}", "vendor/lib"
    )
    models.git("config", "-f", ".gitmodules", "submodule.vendor/lib.url", hosted.url)
    models.commit("with a library")
    put(platforms.add("gitlab", "ml/models", private=True, source=models.path), WEIGHTS)
    platforms.add("git", "odd/names", private=True, source=author_of("odd/names", ODD_FILES).path)
    platforms.add("git", "odd/custom", private=False, source=author_of("odd/custom", ODD_FILES).path)
    wide = author_of("odd/sha256", FILES, "sha256")
    platforms.add("git", "odd/sha256", private=True, source=wide.path, object_format="sha256")


def checkout_of(case: Case, user: Machine, platforms: Platforms, path: Path) -> Checkout:
    """A registered checkout of the case's repository, with the case's changes in it."""
    repo = clone(user, platforms, case.kind, case.repository, path)
    if case.repository == "ml/models":
        # The submodule is on another platform, which only a host rule tells from any git server.
        repo.git("config", "--global", "coderepo.https://github.example.org/.type", "github")
        library = platforms.forges["github"].repository("acme/library")
        assert library is not None
        aside = ["-c", "protocol.file.allow=always", "-c", f"url.file://{library.path}.insteadOf={library.url}"]
        repo.git(*aside, "submodule", "--quiet", "update", "--init")
    if case.register:
        user.run("register", "--type", case.kind, cwd=path)
    made = Checkout(repo, user, platforms)
    case.prepare(made)
    return made


def _nothing(checkout: Checkout) -> None:
    pass


def _edit(checkout: Checkout) -> None:
    checkout.repo.write("train.py", "lr = 0.2\n")
    checkout.repo.write("notes/new file.txt", "new\n")


def _delete(checkout: Checkout) -> None:
    checkout.repo.remove("docs/read me.txt")
    checkout.repo.remove("services/other")
    checkout.repo.write("services/other", "a file where a directory was\n")


def _unpushed(checkout: Checkout) -> None:
    checkout.repo.write("train.py", "lr = 0.3\n")
    checkout.repo.commit("not pushed")
    checkout.repo.write("run.sh", "#!/bin/sh\necho edited\n")


def _modes(checkout: Checkout) -> None:
    checkout.repo.write("train.py", "lr = 0.1\n", mode=0o755)
    checkout.repo.write("run.sh", "#!/bin/sh\necho ran\n", mode=0o644)
    checkout.repo.symlink("latest", "services/other")
    checkout.repo.symlink("to nowhere", "caf\u00e9/not there")


def _odd(checkout: Checkout) -> None:
    checkout.repo.write(b"caf\xe9.py", "x = 2\n")
    checkout.repo.write(b"\xff\xfe new", "new\n")
    checkout.repo.remove(b"-rf")


def _conversions(checkout: Checkout) -> None:
    checkout.repo.write("docs/dos.crlf", b"a\r\nb\r\nc\r\n")
    checkout.repo.write("docs/wide.u16", "\ufeffwider\n".encode("utf-16-le"))


def _submodule(checkout: Checkout) -> None:
    checkout.repo.write("vendor/lib/lib.py", "x = 2\n")
    checkout.repo.write("vendor/lib/new.py", "y = 1\n")


def _new_lfs(checkout: Checkout) -> None:
    checkout.repo.git("config", "filter.lfs.clean", "git-lfs clean -- %f")
    checkout.repo.git("config", "filter.lfs.smudge", "git-lfs smudge -- %f")
    checkout.repo.git("config", "filter.lfs.process", "git-lfs filter-process")
    checkout.repo.git("config", "filter.lfs.required", "true")
    checkout.repo.write("new weights.bin", NEW_WEIGHTS)


def _no_base(checkout: Checkout) -> None:
    checkout.repo.git("checkout", "--quiet", "--orphan", "unrelated")
    checkout.repo.git("update-ref", "-d", "refs/remotes/origin/main")
    checkout.repo.git("update-ref", "-d", "refs/remotes/origin/HEAD")
    checkout.repo.git("branch", "--quiet", "-D", "main")
    checkout.repo.commit("unrelated")


def _secrets(checkout: Checkout) -> None:
    checkout.repo.write(".env", "PASSWORD=made up\n")
    checkout.repo.write("debug.log", "ignored\n")
    checkout.repo.write("train.py", "lr = 0.4\n")


def _register_custom(checkout: Checkout) -> None:
    repository = checkout.platforms.forges["git"].repository("odd/custom")
    assert repository is not None
    source = ["--type", "custom", "--source", f"{CUSTOM_MODULE}.Files", f"--url={repository.url}"]
    checkout.user.run("register", "company", *source, "--no-verify", cwd=checkout.repo.path, env=CUSTOM)
    checkout.repo.write("train.py", "lr = 0.5\n")


WIDGETS = ("github", "acme/widgets")
CASES = (
    Case("plain", "github", "acme/library", _nothing),
    Case("clean", *WIDGETS, _nothing, methods=("auto", "archive", "git")),
    Case("commit", *WIDGETS, _edit, snapshot=("HEAD",)),
    Case("inline-overlay", *WIDGETS, _edit, methods=("archive", "git")),
    Case("overlay-file", *WIDGETS, _edit, env={"CODEREPO_INLINE_LIMIT": "0"}),
    Case("deletions", *WIDGETS, _delete, methods=("archive", "git")),
    Case("unpushed", *WIDGETS, _unpushed),
    Case("special-modes", *WIDGETS, _modes),
    Case("conversions", *WIDGETS, _conversions, methods=("archive", "git")),
    Case("omitted", *WIDGETS, _secrets, snapshot=("--include", "debug.log")),
    Case("scope", *WIDGETS, _edit, snapshot=("--subdirectory", "services/train", "--subdirectory", "docs")),
    Case("subdirectory", *WIDGETS, _edit, snapshot=("--subdirectory", "services/train"), methods=("archive", "git")),
    Case("no-base", *WIDGETS, _no_base),
    Case("published", *WIDGETS, _edit, methods=("auto", "published")),
    Case(
        "unreproducible",
        *WIDGETS,
        _edit,
        snapshot=("--allow-unreproducible",),
        env={"CODEREPO_OVERLAY_LIMIT": "1"},
        fetched=False,
    ),
    Case("gitlab", "gitlab", "ml/models", _nothing, methods=("archive", "git")),
    Case("submodules", "gitlab", "ml/models", _submodule, methods=("archive", "git")),
    Case("lfs-pointers", "gitlab", "ml/models", _nothing, fetch=("--no-lfs",)),
    Case("lfs-travels", "gitlab", "ml/models", _new_lfs),
    Case("non-utf8", "git", "odd/names", _odd),
    Case("inferred", "git", "odd/names", _odd, register=False),
    Case("sha256", "git", "odd/sha256", _edit),
    Case("custom-class", "git", "odd/custom", _register_custom, register=False, env=CUSTOM, runner=CUSTOM),
)
