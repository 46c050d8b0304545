"""What the installed pre-run hook starts, as `python -IS lean.py`: the program without what a start usually costs.

Its status is the hook's, or 127 where the package is gone, or 126 where only the whole program will do: the hook
starts that then.
"""

from __future__ import annotations

import sys


def main() -> int:
    """The hook's exit status."""
    folder = __file__  # as the hook's text has it, absolute
    for _ in range(3):
        folder = folder.rpartition("/")[0]
    sys.path.insert(0, folder)
    try:
        from git_coderepo.git.spawn import ask_status, open_standard_streams

        open_standard_streams()
        asked = ask_status()
        import gc

        gc.disable()  # it ends before there is anything to collect
        from git_coderepo.hooks.prerun import pre_run
    except ImportError:
        return 127
    return pre_run(asked, whole=False)


if __name__ == "__main__":
    try:
        status = main()
    except KeyboardInterrupt:
        status = 130
    sys.stderr.flush()
    from os import _exit

    _exit(status)  # everything is on the disk: taking the interpreter apart would only cost time
