"""Tests for custom platforms: subclass `CodeRepositoryTests`, describe a repository in its fixtures and run pytest.

from git_coderepo.testing import CodeRepositoryTests

class TestMyPlatform(CodeRepositoryTests):
    @pytest.fixture
    def code_repository(self):
        return MyPlatform("test", {"url": "https://…"})

    @pytest.fixture
    def commit(self):
        return "5f3c…"                       # a full id that the platform serves

    @pytest.fixture
    def files(self):
        return {b"train.py": (0o100644, b"…"), b"run.sh": (0o100755, b"…"), b"data/latest": (0o120000, b"v2")}
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from git_coderepo.errors import CommitMissing, CredentialError, PlatformError
from git_coderepo.git.objects import EXECUTABLE, FILE, SYMLINK, ObjectId, TreeEntry, blob_id, tree_id
from git_coderepo.git.url.remote import RemoteURL
from git_coderepo.platforms.base import Archive, BaseCodeRepository, Option
from git_coderepo.platforms.hosted import unpack

Files = Mapping[bytes, tuple[int, bytes]]


class CodeRepositoryTests:
    """Tests that every platform must pass, and tests of optional methods."""

    @pytest.fixture
    def code_repository(self) -> BaseCodeRepository:
        """Return a readable repository with its credentials."""
        raise NotImplementedError("define the fixture 'code_repository'")

    @pytest.fixture
    def commit(self) -> str:
        """Return the full id of a commit that the platform serves."""
        raise NotImplementedError("define the fixture 'commit'")

    @pytest.fixture
    def files(self) -> Files:
        """Return all files of that commit: path to (mode, contents); the contents of a link are its target."""
        raise NotImplementedError("define the fixture 'files'")

    @pytest.fixture
    def missing_commit(self, commit: str) -> str:
        """Return the id of a commit that does not exist."""
        return commit[::-1] if commit[::-1] != commit else "0" * len(commit)

    @pytest.fixture
    def empty_directory(self, tmp_path: Path) -> Path:
        """Return the directory for downloads."""
        directory = tmp_path / "an empty directory"
        directory.mkdir()
        return directory

    # --- description ---

    def test_it_describes_itself(self, code_repository: BaseCodeRepository) -> None:
        assert code_repository.title
        for option in code_repository.options:
            assert isinstance(option, Option)
            assert option.name.isidentifier() and option.help

    def test_a_token_option_is_secret(self, code_repository: BaseCodeRepository) -> None:
        for option in code_repository.options:
            if "token" in option.name or "password" in option.name:
                assert option.secret, f"'{option.name}' would be written into manifests"

    def test_no_secret_is_among_what_is_recorded(self, code_repository: BaseCodeRepository) -> None:
        secret = {option.name for option in code_repository.options if option.secret}
        assert not secret & code_repository.recorded_options().keys()

    # --- required methods ---

    def test_logging_in_works_and_works_twice(self, code_repository: BaseCodeRepository) -> None:
        code_repository.login()
        code_repository.login()

    def test_the_files_of_a_commit_are_downloaded(
        self, code_repository: BaseCodeRepository, commit: str, files: Files, empty_directory: Path
    ) -> None:
        code_repository.login()
        code_repository.download_files(commit, str(empty_directory), None)
        check_files(empty_directory, files, plain=code_repository.needs_special)

    def test_the_files_of_one_directory_are_downloaded(
        self, code_repository: BaseCodeRepository, commit: str, files: Files, empty_directory: Path
    ) -> None:
        directory = next((path.rpartition(b"/")[0] for path in sorted(files) if b"/" in path), None)
        if directory is None:
            pytest.skip("the commit has no directory")
        code_repository.login()
        code_repository.download_files(commit, str(empty_directory), os.fsdecode(directory))
        inside = {
            path[len(directory) + 1 :]: entry for path, entry in files.items() if path.startswith(directory + b"/")
        }
        check_files(empty_directory, inside, plain=code_repository.needs_special)

    def test_a_commit_that_nobody_has_is_refused_and_leaves_nothing(
        self, code_repository: BaseCodeRepository, missing_commit: str, empty_directory: Path
    ) -> None:
        code_repository.login()
        with pytest.raises((PlatformError, CredentialError)):
            code_repository.download_files(missing_commit, str(empty_directory), None)
        assert list(empty_directory.iterdir()) == []

    def test_a_directory_without_git_is_no_local_context(
        self, code_repository: BaseCodeRepository, empty_directory: Path
    ) -> None:
        assert code_repository.get_local_context(str(empty_directory)) is None

    # --- optional methods ---

    def test_an_archive_holds_the_commit(
        self, code_repository: BaseCodeRepository, commit: str, files: Files, empty_directory: Path
    ) -> None:
        archive = code_repository.open_archive(ObjectId(commit), b"")
        if archive is None:
            pytest.skip("the platform has no archives")
        with archive:
            assert isinstance(archive, Archive)
            unpack(archive, str(empty_directory))
        check_files(empty_directory, files)

    def test_an_archive_of_no_commit_is_refused(self, code_repository: BaseCodeRepository, missing_commit: str) -> None:
        try:
            archive = code_repository.open_archive(ObjectId(missing_commit), b"")
        except CommitMissing:
            return
        assert archive is None

    def test_the_tree_of_a_commit_is_the_one_of_its_files(
        self, code_repository: BaseCodeRepository, commit: str, files: Files
    ) -> None:
        tree = code_repository.commit_tree(ObjectId(commit))
        if tree is None:
            pytest.skip("the platform does not report tree ids")
        object_format = ObjectId(commit).object_format
        entries = [TreeEntry(path, mode, blob_id(data, object_format)) for path, (mode, data) in files.items()]
        assert tree == tree_id(entries, object_format)

    def test_it_knows_which_commits_it_has(
        self, code_repository: BaseCodeRepository, commit: str, missing_commit: str
    ) -> None:
        if code_repository.has_commit(ObjectId(commit)) is None:
            pytest.skip("the platform cannot check commits")
        assert code_repository.has_commit(ObjectId(commit)) is True
        assert code_repository.has_commit(ObjectId(missing_commit)) is False

    def test_the_url_for_git_holds_no_secret(self, code_repository: BaseCodeRepository) -> None:
        text = code_repository.git_url()
        if text is None:
            pytest.skip("git cannot fetch from the platform")
        assert not RemoteURL.parse(text).has_secret

    def test_the_page_of_a_commit_names_it(self, code_repository: BaseCodeRepository, commit: str) -> None:
        page = code_repository.web_url(ObjectId(commit))
        if page is None:
            pytest.skip("the platform has no web pages")
        assert page.startswith(("https://", "http://")) and commit in page


def check_files(directory: Path, files: Files, *, plain: bool = False) -> None:
    """Assert that a directory contains exactly `files`; `plain` ignores modes and symbolic links."""
    wanted = {path: entry for path, entry in files.items() if not plain or entry[0] != SYMLINK}
    found = {path: entry for path, entry in contents_below(directory).items() if path in wanted or path not in files}
    if plain:
        wanted = {path: (FILE, data) for path, (_, data) in wanted.items()}
        found = {path: (FILE, data) for path, (_, data) in found.items()}
    assert found == wanted


def contents_below(directory: Path) -> dict[bytes, tuple[int, bytes]]:
    """Return all files below a directory: path to (Git mode, contents)."""
    found: dict[bytes, tuple[int, bytes]] = {}
    top = os.fsencode(directory)
    for folder, folders, names in os.walk(top):
        for name in [*names, *(name for name in folders if os.path.islink(os.path.join(folder, name)))]:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                found[os.path.relpath(path, top)] = (SYMLINK, os.readlink(path))
                continue
            with open(path, "rb") as file:
                data = file.read()
            found[os.path.relpath(path, top)] = (EXECUTABLE if os.stat(path).st_mode & 0o100 else FILE, data)
    return found
