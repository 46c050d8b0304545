"""`git coderepo hooks`: install and remove hooks, and show which runs are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Group, Verb, app, usage
from git_coderepo.cli.json_output import print_json
from git_coderepo.cli.options import Json
from git_coderepo.errors import UsageError
from git_coderepo.git.process import Git
from git_coderepo.hooks.install import as_json as json_of
from git_coderepo.hooks.install import install as install_hooks
from git_coderepo.hooks.install import status as hooks_status
from git_coderepo.hooks.install import uninstall as uninstall_hooks
from git_coderepo.hooks.scripts import EVENTS

if TYPE_CHECKING:
    from git_coderepo.hooks.install import Done, Hook, Status

hooks = typer.Typer(name="hooks", cls=Group, rich_markup_mode=None)
app.add_typer(hooks)

Local = Annotated[bool, typer.Option("--local", help="For this checkout and its worktrees (default).")]
Worktree = Annotated[bool, typer.Option("--worktree", help="For this worktree only; requires git 2.54 or later.")]
Global = Annotated[
    bool, typer.Option("--global", help="For all your checkouts; before git 2.54 requires core.hooksPath.")
]
Event = Annotated[
    list[str] | None,
    typer.Option("--event", metavar="EVENT", help=f"Only this hook; can be repeated. One of: {', '.join(EVENTS)}."),
]


@hooks.callback(invoke_without_command=True)
def group(context: typer.Context) -> None:
    """Manage hooks that record runs."""
    if context.invoked_subcommand is None:
        usage(context)


@hooks.command("install", cls=Verb)
def install(
    local: Local = False,
    worktree: Worktree = False,
    global_: Global = False,
    event: Event = None,
    as_json: Json = None,
) -> None:
    """Install or update the hooks.

    pre-run records a run for each program that calls `git hook run pre-run`. After a commit, a checkout, a merge or a
    rebase, the other hooks remove `current.json`, which no longer matches the checkout. git 2.54 and newer read hooks
    from the configuration. For older versions they are installed in the hooks directory; a shell script that is
    already there gets one marked block and is otherwise unchanged.
    """
    done = install_hooks(Git(), event or (), _scope(local, worktree, global_))
    if as_json:
        print_json([_change(each) for each in done], as_json)
    for each in done if as_json is None else ():
        if each.refused is None:
            output.line(f"{each.event}: {each.place}")
    refused = [each.refused for each in done if each.refused is not None]
    for error in refused:
        output.say(f"error: {error.message}")
        for text in error.hints:
            output.hint(text)
    if refused:
        raise typer.Exit(1)
    output.hint("to show which runs are recorded: git coderepo hooks status")


@hooks.command("uninstall", cls=Verb)
def uninstall(
    local: Local = False,
    worktree: Worktree = False,
    global_: Global = False,
    event: Event = None,
    as_json: Json = None,
) -> None:
    """Remove the hooks.

    Hooks of other tools are left exactly as they were before `hooks install`.
    """
    gone = uninstall_hooks(Git(), event or (), _scope(local, worktree, global_))
    if as_json:
        print_json([_change(each) for each in gone], as_json)
        return
    for each in gone:
        output.line(f"{each.event}: removed from {each.place}")
    if not gone:
        output.say("no hooks to remove")


@hooks.command("status", cls=Verb)
def status(as_json: Json = None) -> None:
    """Show which runs are recorded automatically.

    This includes the lines to add to a Makefile, a Slurm script or a notebook so that it records its runs.
    """
    found = hooks_status(Git())
    if as_json:
        print_json(json_of(found), as_json)
    else:
        show(found)


def _change(done: Done) -> dict[str, object]:
    """Return what was done to a hook as JSON values."""
    error = None if done.refused is None else done.refused.message
    return {"event": done.event, "place": done.place, "error": error}


def show(status: Status) -> None:
    """Print the status."""
    place = "the configuration" if status.is_configured else f"the directory '{status.folder}'"
    output.line(f"git {status.git} reads hooks from {place}")
    output.table([(f"  {hook.event}", _words(hook)) for hook in status.hooks])
    output.line()
    ready = "" if status.records else "  (requires pre-run: git coderepo hooks install)"
    command = _shell(status.launch)
    output.line("recorded")
    output.line("  commands started by: git coderepo run -- COMMAND")
    output.line(f"  commands that follow: {command}{ready}")
    output.line("not recorded")
    output.line("  all other commands: git itself never calls pre-run")
    output.line("  commits, checkouts, merges and rebases: their hooks only remove current.json")
    output.line()
    output.line("in a Makefile")
    output.line(f"  train: ; {command.replace('$', '$$')} && python train.py")
    output.line("in a Slurm script, before the command")
    output.line(f'  CODEREPO_OUT="$PWD/run-$SLURM_JOB_ID.json" {command} || exit 1')
    output.line("in a notebook, in its first cell")
    output.line(f"  import subprocess; subprocess.run({list(status.launch)!r}, check=True)")


def _words(hook: Hook) -> str:
    from git_coderepo.hooks.install import BY_HAND, FOREIGN, INSTALLED, MISSING, OFF, OUTDATED

    scope = f" ({hook.scope})" if hook.scope is not None else ""
    where = f"{hook.place}{scope}"
    words = {
        INSTALLED: f"installed: {where}",
        OUTDATED: f"outdated: {where}; to update it: git coderepo hooks install",
        OFF: f"switched off: {where}",
        BY_HAND: f"added by hand: {where}",
        FOREIGN: f"hook of another tool: {where}",
        MISSING: "not installed",
    }[hook.state]
    if not hook.program_exists:
        words += f"; '{hook.program}' not found; to repair it: git coderepo hooks install"
    return words


def _shell(words: tuple[str, ...]) -> str:
    """Return the command line of the hook for a shell."""
    return words[-1] if words[0] == "sh" else " ".join(words)


def _scope(local: bool, worktree: bool, global_: bool) -> str:
    from git_coderepo.hooks.configured import GLOBAL, LOCAL, WORKTREE

    if local + worktree + global_ > 1:
        raise UsageError("--local, --worktree and --global are mutually exclusive")
    return WORKTREE if worktree else GLOBAL if global_ else LOCAL
