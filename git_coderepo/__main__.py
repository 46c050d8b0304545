"""The entry point of `git coderepo`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit status."""
    if sys.argv[1:] == ["hook", "pre-run"]:
        # The hook leaves here, before anything heavy is imported.
        from git_coderepo.record.hook import pre_run

        sys.exit(pre_run())
    try:
        from git_coderepo.cli.app import main as run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
