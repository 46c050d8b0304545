"""The entry point of `git coderepo`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its status."""
    from git_coderepo.git.spawn import open_standard_streams

    open_standard_streams()
    if sys.argv[1:] == ["hook", "pre-run"]:
        # A short path for the hook, which must not import the command line.
        from git_coderepo.hooks.prerun import pre_run

        sys.exit(pre_run())
    import gc

    # Collecting garbage took a tenth of the start-up time, and there is hardly any garbage before the end.
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
