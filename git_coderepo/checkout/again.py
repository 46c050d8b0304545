"""The last snapshot again: of thousands of paths git tells sooner that none was written to than they are gone through.

It serves as a whole where all that made it is so again: what `git status` says, the settings that decide, all that the
seed hangs on (see `seed.conditions`), and by `git diff-files` each file that was taken. Nothing is told by its age.
https://git-scm.com/docs/git-diff-files
"""

from __future__ import annotations

import os
import time

from git_coderepo.checkout.store import Store
from git_coderepo.objects import ID_LENGTHS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_coderepo.checkout.layout import Layout
    from git_coderepo.checkout.seedfile import Last, Seed
    from git_coderepo.git import Git, Process
    from git_coderepo.settings import Settings

# What lstat(2) tells counts whole, whatever the user has git pass over.
_STRICT = (("core.checkStat", "default"), ("core.trustctime", "true"), ("core.preloadIndex", "true"))


class Again:
    """The question whether the last snapshot of a checkout is that of today; git looks at its files meanwhile.

    There is none where nothing was kept that may serve as a whole.
    """

    __slots__ = ("_facts", "_file", "_layout", "_path", "_process", "_seed", "_store")

    def __init__(self, git: Git, layout: Layout) -> None:
        self._layout = layout
        self._store = Store(layout)
        self._path = self._store.seed
        self._file = -1
        self._process: Process | None = None
        self._seed: Seed | None = None
        if layout.index != layout.git_dir + b"/index":
            return
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        from git_coderepo.checkout.seedfile import parse_seed

        self._facts = os.fstat(self._file)
        try:
            with open(self._file, "rb", closefd=False) as file:
                self._seed = parse_seed(file.read(), ID_LENGTHS[layout.object_format])
        except OSError:
            self.end()
            raise
        seed = self._seed
        # A clock that was set back tells a second twice, and git compares no more than seconds.
        if seed is None or seed.last is None or not self._facts.st_mtime_ns == seed.settled <= time.time_ns():
            self.end()
            return
        own = self._store.git(git).with_environment(GIT_INDEX_FILE=os.fsdecode(self._path)).with_settings(*_STRICT)
        self._process = own.start("--no-optional-locks", "diff-files", "--quiet")

    def answer(self, said: bytes, deciding: bytes, settings: Settings) -> Last | None:
        """The last snapshot, where it is today's: `said` and `deciding` as in `seedfile.Last`. To be asked once."""
        process, seed = self._process, self._seed
        if process is None or seed is None or seed.last is None:
            return None
        from git_coderepo.checkout.seed import conditions

        last = seed.last
        if (last.said, last.deciding) != (said, deciding) or not self._store.has_made(last.tree):
            return None
        if process.finish().status != 0 or not self._is_there():
            return None
        # Last, as a file that says what becomes of others may change while git looks at them.
        return last if conditions(self._layout, settings, seed.folders) == seed.conditions else None

    def end(self) -> None:
        """Nobody wants an answer any more; to be called whether there was one or not."""
        if self._process is not None:
            self._process.kill()
        self._process = None
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _is_there(self) -> bool:
        """Whether git found the same file under the name: it was held open here all the time."""
        try:
            return os.path.samestat(os.stat(self._path), self._facts)
        except OSError:
            return False
