"""The entry point of the installed pre-run hook, `python -IS lean.py`, which starts faster than the program.

The exit status is the hook's, 127 if the package no longer exists, or 126 if only the whole program can record the run;
then the hook starts the program.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run the hook; return its exit status."""
    folder = __file__  # absolute, as in the text of the hook
    for _ in range(3):
        folder = folder.rpartition("/")[0]
    sys.path.insert(0, folder)
    try:
        from git_coderepo.git.spawn import open_standard_streams, start_git_status

        open_standard_streams()
        status = start_git_status()
        import gc

        gc.disable()  # the process ends before a collection would pay off
        from git_coderepo.hooks.prerun import pre_run
    except ImportError:
        return 127
    return pre_run(status, whole=False)


if __name__ == "__main__":
    try:
        status = main()
    except KeyboardInterrupt:
        status = 130
    sys.stderr.flush()
    from os import _exit

    _exit(status)  # everything is on the disk, and to finalize the interpreter only costs time
