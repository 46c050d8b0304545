"""The entry point of `git coderepo`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit status."""
    from git_coderepo.git.spawn import open_standard_streams

    open_standard_streams()
    if sys.argv[1:] == ["hook", "pre-run"]:
        # The hook leaves here, before anything heavy is imported.
        from git_coderepo.hooks.prerun import pre_run

        sys.exit(pre_run())
    import gc

    # Little of what is made is ever garbage, and most of that at the end: looking for it was a tenth of each start.
    gc.set_threshold(100_000, 10, 10)
    try:
        from git_coderepo.cli.main import main as run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    gc.disable()
    sys.exit(status)


if __name__ == "__main__":
    main()
