"""Classes written for ZenML 0.98 port by changing their imports; classes of one's own are loaded by name."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional
from uuid import UUID, uuid4

import pytest

from git_coderepo import compat
from git_coderepo.compat import BaseCodeRepositoryConfig, SecretField
from git_coderepo.errors import (
    CodeRepoError,
    PlatformError,
    RegistrationError,
    SourceNotAllowed,
    UnknownOption,
)
from git_coderepo.git.objects import ObjectId
from git_coderepo.platforms.base import BaseCodeRepository
from git_coderepo.platforms.custom import load_class
from git_coderepo.testing import CodeRepositoryTests
from tests.hints import cures
from tests.support.repo import Repo

# As ZenML's documentation and its own GitHub class have it; the three imports from `zenml` are the only change.
WRITTEN_FOR_ZENML = '''
import os
import re
import subprocess
from typing import Any, Dict, List, Optional
from uuid import uuid4

from git_coderepo.compat import BaseCodeRepository, LocalRepositoryContext
from git_coderepo.compat import BaseCodeRepositoryConfig
from git_coderepo.compat import LocalGitRepositoryContext, SecretField


class MyRepositoryConfig(BaseCodeRepositoryConfig):
    """Config for my code repositories.

    Args:
        root: Where the repositories lie.
        owner: The owner of the repository.
    """

    root: str
    owner: str
    repository: str
    host: Optional[str] = "git.corp"
    depth: int = 1
    token: Optional[str] = SecretField(default=None)


class MyRepositoryClass(BaseCodeRepository):
    """My code repository."""

    @classmethod
    def validate_config(cls, config: Dict[str, Any]) -> None:
        code_repo = cls(id=uuid4(), name="", config=config)
        _ = code_repo.session

    @property
    def config(self) -> MyRepositoryConfig:
        return MyRepositoryConfig(**self._config)

    def login(self) -> None:
        path = os.path.join(self.config.root, self.config.owner, self.config.repository + ".git")
        if self.config.token != "right":
            raise RuntimeError(f"An error occurred while logging in: bad token {self.config.token}")
        self.session = path

    def download_files(self, commit: str, directory: str, repo_sub_directory: Optional[str]) -> None:
        tree = f"{commit}:{repo_sub_directory or ''}"
        names = subprocess.run(
            ["git", "-C", self.session, "ls-tree", "-r", "-z", "--name-only", tree], check=True, capture_output=True
        ).stdout.split(b"\\0")[:-1]
        os.makedirs(directory, exist_ok=True)
        for name in names:
            local_path = os.path.join(os.fsencode(directory), name)
            os.makedirs(os.path.dirname(local_path), exist_ok=True)
            with open(local_path, "wb") as f:
                blob = os.path.join(os.fsencode(tree), name) if repo_sub_directory else os.fsencode(tree) + name
                f.write(subprocess.check_output(["git", "-C", self.session, "cat-file", "blob", blob]))

    def get_local_context(self, path: str) -> Optional[LocalRepositoryContext]:
        return LocalGitRepositoryContext.at(
            path=path,
            code_repository=self,
            remote_url_validation_callback=self.check_remote_url,
        )

    def check_remote_url(self, url: str) -> bool:
        https_url = f"https://{self.config.host}/{self.config.owner}/{self.config.repository}.git"
        if url == https_url:
            return True

        ssh_regex = re.compile(
            f".*@{self.config.host}:{self.config.owner}/{self.config.repository}.git"
        )
        if ssh_regex.fullmatch(url):
            return True

        return False
'''
FILES = {b"train.py": (0o100644, b"lr = 0.1\n"), b"src/a b": (0o100755, b"\0"), b"link": (0o120000, b"src")}


@pytest.fixture(autouse=True)
def user(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def modules(tmp_path: Path) -> Iterator[Path]:
    """A directory for modules of one's own; what was imported from it is forgotten again."""
    directory = tmp_path / "modules"
    directory.mkdir()
    before = set(sys.modules)
    importlib.invalidate_caches()
    yield directory
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def ported(modules: Path) -> type[Any]:
    (modules / "my_module.py").write_text(WRITTEN_FOR_ZENML)
    return load_class("my_module.MyRepositoryClass", directory=str(modules))


@pytest.fixture
def served(tmp_path: Path, repo: Repo, env: dict[str, str]) -> Repo:
    for path, (mode, data) in FILES.items():
        if mode == 0o120000:
            repo.symlink(path, data)
        else:
            repo.write(path, data, mode & 0o777)
    repo.commit()
    return Repo.clone(repo.path, tmp_path / "served" / "acme" / "widgets.git", env, "--bare")


@pytest.fixture
def options(served: Repo) -> dict[str, str]:
    return {"root": str(served.path.parent.parent), "owner": "acme", "repository": "widgets", "token": "right"}


# --- a ported class ----------------------------------------------------------------------------------


class TestPorted(CodeRepositoryTests):
    """It passes the tests that are published for authors of platforms."""

    @pytest.fixture
    def code_repository(self, ported: type[Any], options: dict[str, str]) -> BaseCodeRepository:
        repository: BaseCodeRepository = ported("origin", options)
        return repository

    @pytest.fixture
    def commit(self, served: Repo) -> str:
        return served.head()

    @pytest.fixture
    def files(self) -> dict[bytes, tuple[int, bytes]]:
        return FILES


def test_it_is_a_platform_whose_manifest_lists_what_downloading_loses(ported: type[Any]) -> None:
    assert issubclass(ported, BaseCodeRepository)
    assert ported.needs_special


def test_its_configuration_declares_its_options(ported: type[Any]) -> None:
    assert [(option.name, option.required, option.secret) for option in ported.options] == [
        ("root", True, False),
        ("owner", True, False),
        ("repository", True, False),
        ("host", False, False),
        ("depth", False, False),
        ("token", False, True),
    ]


def test_nobody_logs_in_while_it_is_only_described(ported: type[Any], options: dict[str, str]) -> None:
    """Z9"""
    repository = ported("origin", {**options, "token": "wrong"})
    assert repository.name == "origin" and isinstance(repository.id, UUID)
    assert repository.id == ported("origin", options).id
    assert repository.git_url() is None and repository.open_archive(ObjectId("ab" * 20), b"") is None


def test_zenmls_own_constructor_logs_in_at_once(ported: type[Any], options: dict[str, str]) -> None:
    assert ported(id=uuid4(), name="x", config=options).session
    assert ported(uuid4(), "x", options).session
    with pytest.raises(PlatformError):
        ported(id=uuid4(), name="x", config={**options, "token": "wrong"})
    ported.validate_config(options)
    with pytest.raises(PlatformError):
        ported.validate_config({**options, "token": "wrong"})


def test_a_failed_login_is_one_clear_error_without_the_token(ported: type[Any], options: dict[str, str]) -> None:
    """Z9"""
    repository = ported("origin", {**options, "token": "s3cr3t"})
    with pytest.raises(CodeRepoError) as raised:
        repository.login()
    assert "MyRepositoryClass.login() failed: RuntimeError: An error occurred while logging in" in raised.value.message
    assert "s3cr3t" not in raised.value.message and raised.value.__context__ is None


@cures("did you mean '--{near[0]}'?", "choose one of: {', '.join(fields)}")
def test_a_misspelt_option_is_refused_with_the_near_one(ported: type[Any], options: dict[str, str]) -> None:
    """Z9"""
    repository = ported("origin", {**options, "hosst": "x"})
    with pytest.raises(UnknownOption) as raised:
        repository.login()
    assert raised.value.hints == ("did you mean '--host'?",)
    ported("origin", {**options, "host": "x"}).login()
    with pytest.raises(UnknownOption) as raised:
        ported("origin", {**options, "zzz": "x"}).login()
    (hint,) = raised.value.hints
    for name in hint.partition(": ")[2].split(", "):
        ported("origin", {name: "1", **options}).login()


def test_a_missing_option_is_named(ported: type[Any]) -> None:
    with pytest.raises(RegistrationError, match="'owner', 'repository'"):
        ported("origin", {"root": "x"}).login()


@pytest.mark.parametrize(
    "remote",
    [
        "https://git.corp/acme/widgets.git",
        "https://git.corp/acme/widgets",
        "https://git.corp/acme/widgets/",
        "https://oauth2:AAAA@git.corp/acme/widgets.git",
        "https://GIT.corp/acme/widgets.git",
        "git@git.corp:acme/widgets.git",
        "ssh://git@git.corp/acme/widgets.git",
        "ssh://git@git.corp:2222/acme/widgets.git",
        "corp:acme/widgets",
    ],
)
def test_its_checkout_is_found_by_every_form_of_the_remote(
    ported: type[Any], options: dict[str, str], repo: Repo, remote: str
) -> None:
    """Z8"""
    repo.commit()
    repo.git("config", "url.git@git.corp:.insteadOf", "corp:")
    repo.git("remote", "add", "up", remote)
    repository = ported("origin", options)
    found = repository.get_local_context(str(repo.path))
    assert found is not None and found.code_repository is repository
    assert found.root == str(repo.path) and found.current_commit == repo.head()
    assert found.is_dirty is False and found.has_local_changes is True
    assert found.git_repo.head.commit.hexsha == repo.head() and found.remote.name == "up"
    found.git_repo.close()


def test_another_remote_is_not_its_own(ported: type[Any], options: dict[str, str], repo: Repo) -> None:
    repo.git("remote", "add", "origin", "https://gitXcorp/acme/widgets.git")
    assert ported("origin", options).get_local_context(str(repo.path)) is None


def test_a_class_with_a_constructor_of_its_own(modules: Path) -> None:
    (modules / "own.py").write_text(
        "from git_coderepo.compat import BaseCodeRepository\n"
        "class Own(BaseCodeRepository):\n"
        "    def __init__(self, id, name, config):\n"
        "        self.before = True\n"
        "        super().__init__(id, name, config)\n"
        "        self.after = True\n"
        "    def login(self):\n"
        "        self.logins = getattr(self, 'logins', 0) + 1\n"
        "    def download_files(self, commit, directory, repo_sub_directory):\n"
        "        self.downloaded = commit\n"
        "    def get_local_context(self, path):\n"
        "        return None\n"
    )
    own: Any = load_class("own.Own", directory=str(modules))
    repository = own("origin", {"anything": "goes"})
    assert repository.before and repository.after and not hasattr(repository, "logins")
    repository.download_files("c", "d", None)
    repository.download_files("c", "d", None)
    assert repository.logins == 1 and repository.downloaded == "c"
    assert repository.config.anything == "goes" and repository.requirements == set()
    assert "goes" not in repr(repository.config)


# --- configurations -----------------------------------------------------------------------------------


class Parent(BaseCodeRepositoryConfig):
    url: str
    _private: str = "x"


class Child(Parent):
    port: int = 443
    ratio: Optional[float] = None  # noqa: UP045 - as it is written there
    verify: bool = True
    password: str = SecretField()


def test_texts_from_the_command_line_become_what_the_annotation_says() -> None:
    config = Child(url="x", port="8443", ratio="0.5", verify="false", password="pw")
    assert (config.url, config.port, config.ratio, config.verify, config.password) == ("x", 8443, 0.5, False, "pw")
    assert config.model_dump()["port"] == 8443
    assert Child(url="x", password="pw").ratio is None


def test_a_secret_field_is_not_shown() -> None:
    assert repr(Child(url="x", password="pw")) == "Child(url='x', port=443, ratio=None, verify=True, password='****')"


@pytest.mark.parametrize("given", [{}, {"url": "x"}, {"password": "pw"}])
def test_what_has_no_default_is_required(given: dict[str, str]) -> None:
    with pytest.raises(RegistrationError, match="requires the option"):
        Child(**given)


@pytest.mark.parametrize("given", [{"port": "x"}, {"verify": "perhaps"}, {"ratio": "half"}])
def test_a_value_that_does_not_fit_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(RegistrationError, match=f"option .{next(iter(given))}."):
        Child(url="x", password="pw", **given)


def test_a_context_of_ones_own() -> None:
    class Somewhere(compat.LocalRepositoryContext):
        @property
        def root(self) -> str:
            return "/somewhere"

    repository: Any = object()
    assert Somewhere(code_repository=repository).code_repository is repository


# --- classes by name ----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["my_module.MyRepositoryClass", "my_module:MyRepositoryClass"])
def test_a_class_is_named_with_a_dot_or_a_colon(ported: type[Any], source: str) -> None:
    assert load_class(source) is ported


def test_the_path_of_python_is_as_before(ported: type[Any], modules: Path) -> None:
    assert str(modules) not in sys.path


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "is not the name of a class"),
        ("MyRepositoryClass", "is not the name of a class"),
        ("my_module.", "is not the name of a class"),
        ("../evil.Class", "is not the name of a class"),
        ("my_module:os.system", "is not the name of a class"),
        ("not_there.Class", "cannot import 'not_there': ModuleNotFoundError"),
        ("broken.Class", "cannot import 'broken': SyntaxError"),
        ("raising.Class", "cannot import 'raising': RuntimeError: on import"),
        ("plain.Clas", "'plain' has no class 'Clas'"),
        ("plain.Class", "is not a subclass of BaseCodeRepository"),
        ("plain.value", "is not a subclass of BaseCodeRepository"),
        ("plain.Half", r"does not implement download_files\(\), get_local_context\(\)"),
    ],
)
def test_what_cannot_be_loaded_is_said(modules: Path, source: str, words: str) -> None:
    (modules / "broken.py").write_text("class Class(:\n")
    (modules / "raising.py").write_text("raise RuntimeError('on import')\n")
    (modules / "plain.py").write_text(
        "from git_coderepo.platforms.base import BaseCodeRepository\n"
        "class Class: pass\nvalue = 1\n"
        "class Half(BaseCodeRepository):\n    def login(self): pass\n"
    )
    with pytest.raises(SourceNotAllowed, match=words):
        load_class(source, directory=str(modules))
    assert str(modules) not in sys.path


def test_a_class_of_ones_own_that_gives_an_archive_needs_no_list_of_special_files(modules: Path) -> None:
    (modules / "better.py").write_text(
        "from git_coderepo.platforms.base import BaseCodeRepository\n"
        "class Plain(BaseCodeRepository):\n"
        "    def login(self): pass\n"
        "    def download_files(self, commit, directory, repo_sub_directory): pass\n"
        "    def get_local_context(self, path): pass\n"
        "class Better(Plain):\n"
        "    def git_url(self): return 'https://git.corp/a/b'\n"
    )
    assert load_class("better.Plain", directory=str(modules)).needs_special
    assert not load_class("better.Better", directory=str(modules)).needs_special
