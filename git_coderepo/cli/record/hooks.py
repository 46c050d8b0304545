"""`git coderepo hooks`: install, take out, or look at git's hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from git_coderepo.cli import output
from git_coderepo.cli.app import Verb, app, usage
from git_coderepo.cli.options import Json
from git_coderepo.errors import UsageError
from git_coderepo.hooks.scripts import EVENTS

if TYPE_CHECKING:
    from git_coderepo.hooks.install import Hook, Status

hooks = typer.Typer(name="hooks", rich_markup_mode=None)
app.add_typer(hooks)

Local = Annotated[bool, typer.Option("--local", help="For this checkout with its worktrees: the default.")]
Worktree = Annotated[bool, typer.Option("--worktree", help="For this worktree alone; git 2.54 or newer.")]
Global = Annotated[
    bool, typer.Option("--global", help="For every checkout of yours; before git 2.54 in your core.hooksPath.")
]
Event = Annotated[
    list[str] | None,
    typer.Option("--event", metavar="EVENT", help=f"Only this one; can be repeated. One of: {', '.join(EVENTS)}."),
]


@hooks.callback(invoke_without_command=True)
def group(context: typer.Context) -> None:
    """Install, take out, or look at git's hooks."""
    if context.invoked_subcommand is None:
        usage(context)


@hooks.command("install", cls=Verb)
def install(local: Local = False, worktree: Worktree = False, global_: Global = False, event: Event = None) -> None:
    """Install the hooks, or bring them up to date.

    pre-run records a run for whoever calls it; the others take away what is no longer true after a commit, a checkout,
    a merge or a rebase. git 2.54 and newer have them in the configuration. Before that they go into the hooks folder,
    where another tool's shell script gets a marked block and everything else of it stays.
    """
    from git_coderepo.git.process import Git
    from git_coderepo.hooks.install import install as install_hooks

    done = install_hooks(Git(), event or (), _scope(local, worktree, global_))
    for each in done:
        if each.refused is None:
            output.line(f"{each.event}: {each.place}")
    refused = [each.refused for each in done if each.refused is not None]
    for error in refused:
        output.say(f"error: {error.message}")
        for text in error.hints:
            output.hint(text)
    if refused:
        raise typer.Exit(1)
    output.hint("to see what is recorded now: git coderepo hooks status")


@hooks.command("uninstall", cls=Verb)
def uninstall(local: Local = False, worktree: Worktree = False, global_: Global = False, event: Event = None) -> None:
    """Take the hooks out; what was there before is as it was."""
    from git_coderepo.git.process import Git
    from git_coderepo.hooks.install import uninstall as uninstall_hooks

    gone = uninstall_hooks(Git(), event or (), _scope(local, worktree, global_))
    for each in gone:
        output.line(f"{each.event}: gone from {each.place}")
    if not gone:
        output.say("there was no hook of ours")


@hooks.command("status", cls=Verb)
def status(as_json: Json = False) -> None:
    """Say what is recorded on its own and what is not.

    With the lines by which Make, Slurm and a notebook have their runs recorded.
    """
    from git_coderepo.git.process import Git
    from git_coderepo.hooks.install import as_json as json_of
    from git_coderepo.hooks.install import status as hooks_status

    found = hooks_status(Git())
    if as_json:
        output.json_data(json_of(found))
    else:
        show(found)


def show(status: Status) -> None:
    """The status for people."""
    place = "in the configuration" if status.is_configured else f"in the folder '{status.folder}'"
    output.line(f"git {status.git} has hooks {place}")
    output.table([(f"  {hook.event}", _words(hook)) for hook in status.hooks])
    output.line()
    ready = "" if status.records else "  (once pre-run is installed: git coderepo hooks install)"
    command = _shell(status.launch)
    output.line("recorded")
    output.line("  a command that is started by: git coderepo run -- COMMAND")
    output.line(f"  whatever follows a call of:   {command}{ready}")
    output.line("not recorded")
    output.line("  a command that is started in any other way: git itself never calls pre-run")
    output.line("  a commit, checkout, merge or rebase records nothing; its hook takes current.json away")
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
        OUTDATED: f"installed, but not as it would be now: {where}; git coderepo hooks install",
        OFF: f"switched off: {where}",
        BY_HAND: f"added by hand: {where}",
        FOREIGN: f"not ours: {where}",
        MISSING: "not installed",
    }[hook.state]
    if not hook.program_is_there:
        words += f"; '{hook.program}' is gone: git coderepo hooks install"
    return words


def _shell(words: tuple[str, ...]) -> str:
    """The call as a shell takes it."""
    return words[-1] if words[0] == "sh" else " ".join(words)


def _scope(local: bool, worktree: bool, global_: bool) -> str:
    from git_coderepo.hooks.configured import GLOBAL, LOCAL, WORKTREE

    if local + worktree + global_ > 1:
        raise UsageError("only one of --local, --worktree and --global")
    return WORKTREE if worktree else GLOBAL if global_ else LOCAL
