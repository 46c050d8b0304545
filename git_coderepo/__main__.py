"""The entry point of `git coderepo`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its status."""
    from git_coderepo.git.spawn import open_standard_streams

    open_standard_streams()
    try:
        status = _status(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        status = _report(error, sys.argv[1:])
    sys.exit(status)


def _status(arguments: list[str]) -> int:
    if arguments == ["hook", "pre-run"]:
        # A short path for the hook, which must not import the command line.
        from git_coderepo.hooks.prerun import pre_run

        return pre_run()
    import gc

    # Collecting garbage took a tenth of the start-up time, and there is hardly any garbage before the end.
    gc.set_threshold(100_000, 10, 10)
    from git_coderepo.cli.main import main as run

    status = run(arguments)
    gc.disable()
    return status


def _report(error: Exception, arguments: list[str]) -> int:
    """Print a bug that the command line itself could not print: it could not be imported, or failed at that."""
    try:
        from git_coderepo.crash_report import report_crash

        crash = report_crash(error, arguments)
        lines = [f"fatal: {crash.message}", *(f"hint: {text}" for text in crash.hints)]
    except Exception as problem:  # the installation is broken; a message could hold a secret, a type cannot
        lines = [f"fatal: internal error: {type(error).__name__}, and no crash report: {type(problem).__name__}"]
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    # 125: a command that `run` or `exec` was given was not started, as in env(1).
    return 125 if arguments[:1] in (["run"], ["exec"]) else 128


if __name__ == "__main__":
    main()
