"""What is known without the network: git, its configuration, the checkout, its submodules and their remotes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from git_coderepo.doctor.bounded import bounded_git
from git_coderepo.errors import CodeRepoError, NotACheckout
from git_coderepo.git.process import Git, check_version, git_word, path_word
from git_coderepo.git.pushed_commits import Walks
from git_coderepo.git.repository import Layout, branch_of_head, read_layout, stand_inside, start_layout
from git_coderepo.registration.resolve import CodeSource, choose_source_of, refuse_source
from git_coderepo.settings import Settings, team_settings

# Parts of the errors for a directory that is in no work tree, which is not a problem.
_NO_WORK_TREE = ("not a git repository", "bare repository", "must be run in a work tree")
# As deep as snapshots take them.
_DEEPEST = 16


class CheckedRepository(NamedTuple):
    """The checkout, or one of its submodules: `path` is raw, from the root, b"" for the checkout itself.

    `source` is its code repository, None without one, and then `problem` may say why.
    """

    path: bytes
    git: Git
    layout: Layout
    settings: Settings
    source: CodeSource | None
    problem: CodeRepoError | None

    @property
    def name(self) -> str:
        """The words that name a submodule before a sentence; empty for the checkout."""
        return f"submodule '{os.fsdecode(self.path)}': " if self.path else ""


class Link(NamedTuple):
    """A submodule of the index at the raw `path`, from the root of the checkout.

    `command` is what to type to initialise it. `is_listed` says whether `.gitmodules` has it. `problem` is why git
    cannot read it although it is initialised.
    """

    path: bytes
    root: bytes
    command: str
    is_listed: bool
    problem: CodeRepoError | None = None

    @property
    def is_initialised(self) -> bool:
        """Whether it has a `.git`."""
        return os.path.lexists(self.root + b"/.git")

    @property
    def is_empty(self) -> bool:
        """Whether its directory is missing or empty."""
        try:
            return not os.listdir(self.root)
        except (FileNotFoundError, NotADirectoryError):
            return True


class CheckedPlace(NamedTuple):
    """Where doctor was started. `version` is git's; without a usable git, `git_problem` says why.

    `settings` are empty if `settings_problem` says why they cannot be read. Outside a checkout `parts` is empty; unless
    there is none, `outside` says why it cannot be used. `warnings` are those of reading the team's settings.
    """

    git: Git
    version: str | None
    git_problem: CodeRepoError | None
    settings: Settings
    settings_problem: CodeRepoError | None
    parts: tuple[CheckedRepository, ...] = ()
    links: tuple[Link, ...] = ()
    outside: CodeRepoError | None = None
    warnings: tuple[str, ...] = ()

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment variables."""
        return self.git.environment

    @property
    def checkout(self) -> CheckedRepository | None:
        """The checkout, or None outside of one."""
        return self.parts[0] if self.parts else None


def look(git: Git, seconds: float) -> CheckedPlace:
    """Return what is known of the current directory; `seconds` is the time limit of each git command."""
    git = bounded_git(git, seconds)
    nothing = Settings([], git.environment)
    try:
        version = check_version(git)
    except CodeRepoError as error:
        return CheckedPlace(git, None, error, nothing, None)
    try:
        settings = Settings.read(git)
    except CodeRepoError as error:
        return CheckedPlace(git, version, None, nothing, error)
    warnings: list[str] = []
    place = CheckedPlace(git, version, None, settings, None)
    try:
        layout = read_layout(start_layout(git), git)
        layout = stand_inside(layout, git)
        settings = team_settings(git, layout, settings, warnings.append)
    except CodeRepoError as error:
        is_none = isinstance(error, NotACheckout) and any(words in error.message for words in _NO_WORK_TREE)
        return place._replace(outside=None if is_none else error)
    parts, links = zip(*_walk(git, layout, settings, b"", 0), strict=True)
    return place._replace(
        settings=settings,
        parts=parts,
        links=tuple(link for each in links for link in each),
        warnings=tuple(warnings),
    )


def _walk(
    git: Git, layout: Layout, settings: Settings, path: bytes, depth: int
) -> Iterator[tuple[CheckedRepository, tuple[Link, ...]]]:
    """Yield a checkout and the submodules in it, then the same of each submodule that is initialised."""
    part = _part(git, layout, settings, path)
    links, inside = [], []
    for link in _links(part):
        problem = None
        if link.is_initialised and depth < _DEEPEST:
            inner = git.submodule(link.root)
            try:
                inner_layout = read_layout(start_layout(inner), inner)
                inside.append((inner, inner_layout, Settings.read(inner).within(settings, link.path), link.path))
            except CodeRepoError as error:
                problem = error
        links.append(link._replace(problem=problem))
    yield part, tuple(links)
    for inner, inner_layout, inner_settings, inner_path in inside:
        yield from _walk(inner, inner_layout, inner_settings, inner_path, depth + 1)


def _part(git: Git, layout: Layout, settings: Settings, path: bytes) -> CheckedRepository:
    # A rate limit is reported, and not waited for.
    hasty = Settings(settings.entries, {**settings.environment, "CODEREPO_MAX_WAIT": "0"}, settings.outer, path)
    try:
        walks = Walks(git, hasty, layout.head)
        source = choose_source_of(git, hasty, layout, None, branch=branch_of_head(git), walks=walks)
        if source is not None:
            refuse_source(source)
    except CodeRepoError as error:
        return CheckedRepository(path, git, layout, settings, None, error)
    return CheckedRepository(path, git, layout, settings, source, None)


def _links(part: CheckedRepository) -> Iterator[Link]:
    """Yield the submodules in the index of a checkout."""
    listing = part.git.at(part.layout.toplevel).run("ls-files", "--stage", "-z", "--full-name")
    paths = [row.partition(b"\t")[2] for row in listing.split(b"\0") if row.startswith(b"160000 ")]
    if not paths:
        return
    listed = _listed(part)
    for inner in paths:
        command = (
            f"{git_word(part.layout.toplevel)} submodule update --init -- {path_word(inner, part.layout.toplevel)}"
        )
        path = part.path + b"/" + inner if part.path else inner
        yield Link(path, part.layout.toplevel + b"/" + inner, command, inner in listed)


def _listed(part: CheckedRepository) -> frozenset[bytes]:
    """Return the paths that `.gitmodules` has; none if git cannot read it."""
    file = part.layout.toplevel + b"/.gitmodules"
    read = part.git.start("config", "--file", file, "--null", "--get-regexp", r"^submodule\..*\.path$").finish()
    return frozenset(row.partition(b"\n")[2] for row in read.stdout.split(b"\0") if row)


def attempt(action: Callable[[], object]) -> CodeRepoError | None:
    """Run a function; return the CodeRepoError that it raises, or None."""
    try:
        action()
    except CodeRepoError as error:
        return error
    return None
