"""What the installed pre-run hook starts, as `python -IS lean.py`: the program without what a start usually costs.

Its status is the hook's, or 127 where the package is gone, or 126 where only the whole program will do: the hook
starts that then.
"""

from __future__ import annotations

import gc
import os
import sys


def main() -> int:
    """The hook's exit status."""
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    try:
        from git_coderepo.record.hook import pre_run
    except ImportError:
        return 127
    return pre_run(whole=False)


if __name__ == "__main__":
    gc.disable()  # it ends before there is anything to collect
    status = main()
    sys.stderr.flush()
    os._exit(status)  # everything is on the disk: taking the interpreter apart would only cost time
