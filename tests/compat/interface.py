"""What a script relies on: option names, JSON, exit statuses and variables, asked of whichever version is in PATH."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.compat.machines import clone, machine
from tests.compat.platforms import Platforms
from tests.e2e.support import Machine
from tests.support.repo import Repo

_OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")
_CACHES = ("CODEREPO_CACHE_DIR", "XDG_CACHE_HOME")
_COLUMN = re.compile(r"^  (\S+(?: \S+)*)")


def verbs(user: Machine, words: tuple[str, ...] = ()) -> dict[str, str]:
    """Every verb and group of verbs with the text of its `-h`; the program itself is the empty one."""
    text = user.run(*words, "-h").text
    found = {" ".join(words): text}
    for name in commands(text):
        found.update(verbs(user, (*words, name)))
    return found


def commands(text: str) -> list[str]:
    """The verbs that a help text lists."""
    found, listed = [], False
    for line in text.splitlines():
        if not line.startswith(" "):
            listed = line.endswith(":") and not line.startswith(("Usage:", "Options:", "Arguments:"))
        elif listed and (match := re.match(r"^  ([a-z][a-z-]*)(?:  |$)", line)):
            found.append(match[1])
    return found


def options(text: str) -> set[str]:
    """The options that a help text lists, and `ARGUMENTS` for each positional one, without the words about them."""
    found, section = set(), ""
    for line in text.splitlines():
        if line and not line.startswith(" "):
            section = line.partition(" ")[0].rstrip(":")
        match = _COLUMN.match(line)
        if match and section == "Options" and match[1].startswith("-"):
            found.update(_OPTION.findall(re.split(r"  ", line[2:])[0]))
    return found


def names(manual: str) -> dict[str, list[str]]:
    """The environment variables and the settings that the manual page names."""
    return {
        "variables": sorted(set(re.findall(r"\bCODEREPO_[A-Z_]*[A-Z]\b", manual))),
        "settings": sorted(set(re.findall(r"\bcoderepo\.[a-z][A-Za-z]*\b", manual))),
    }


def shape(value: Any) -> Any:
    """A JSON document without its contents: the keys of objects, all shapes of a list's items, names of types."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        shapes = [shape(inner) for inner in value]
        return [each for number, each in enumerate(shapes) if each not in shapes[:number]]
    return "null" if value is None else type(value).__name__


class Scene:
    """A user, a runner, and a checkout of `acme/widgets` with runs in its record."""

    def __init__(self, root: Path, programs: Path | None, platforms: Platforms, env: Mapping[str, str]) -> None:
        self.root = root
        self.user = machine(root / "ada", programs, platforms, env)
        self.runner = machine(root / "worker", programs, platforms)
        self.checkout = clone(self.user, platforms, "github", "acme/widgets", root / "ada" / "widgets")

    def here(self, *words: Any, check: bool = False, **env: Any) -> Any:
        return self.user.run(*words, cwd=self.checkout.path, check=check, env=env)

    def there(self, *words: Any, check: bool = False, **env: Any) -> Any:
        return self.runner.run(*words, check=check, env=env)


def prepare(scene: Scene) -> None:
    """Two recorded runs, the last one dirty; its manifest and its code are on the runner."""
    scene.here("register", check=True)
    scene.here("run", "--name", "first", "--", "true", check=True)
    scene.checkout.write("train.py", "lr = 0.7\n")
    scene.here("ignore", "made/", check=True)
    command = ["sh", "-c", "mkdir -p made; echo x >made/model"]
    scene.here("run", "--name", "second", "--output", "made", "--", *command, check=True)
    manifest = scene.runner.path("run.json")
    scene.here("snapshot", "-o", manifest, check=True)
    scene.there("fetch", "run.json", "code", check=True)


def documents(scene: Scene) -> dict[str, Any]:
    """What each verb prints with `--json`."""
    user = {
        "list": ["list", "--json"],
        "describe": ["describe", "--json"],
        "status": ["status", "--check", "--json"],
        "log": ["log", "--json"],
        "log --group": ["log", "--group", "--json"],
        "show": ["show", "second", "--json"],
        "build-key": ["build-key", "--json"],
        "hooks status": ["hooks", "status", "--json"],
        "secret list": ["secret", "list", "--json"],
    }
    runner = {
        "fetch": ["fetch", "--cache", "--json", "run.json", "code 2"],
        "verify": ["verify", "--json", "run.json", "code"],
        "cache list": ["cache", "list", "--json"],
    }
    found = {name: scene.here(*words, check=True).json() for name, words in user.items()}
    found.update({name: scene.there(*words, check=True).json() for name, words in runner.items()})
    return found


def statuses(scene: Scene) -> dict[str, int]:
    """What happened, as a script is told it."""
    outside = scene.user.home / "outside"
    outside.mkdir(exist_ok=True)
    scene.there("fetch", "run.json", "differs", check=True)
    (scene.runner.home / "differs" / "train.py").write_text("changed\n")
    (scene.runner.home / "invalid.json").write_text("{}")
    nowhere: dict[str, Any] = {"CODEREPO_OVERLAY_LIMIT": "1"}
    wrong: dict[str, Any] = {
        "CODEREPO_CREDENTIALS_FILE": "",
        "CODEREPO_TOKEN": "wrong",
        "CODEREPO_TOKEN_ORIGIN": "https://github.example.org",
    }
    empty: dict[str, Any] = {name: str(scene.root / "empty") for name in _CACHES}
    found = {
        "no verb": scene.here(),
        "an unknown verb": scene.here("no-such-verb"),
        "an unknown option": scene.here("run", "--no-such-option"),
        "help": scene.here("help"),
        "version": scene.here("--version"),
        "list": scene.here("list"),
        "describe: no such name": scene.here("describe", "nobody"),
        "remove: no such name": scene.here("remove", "nobody"),
        "register: a wrong token": scene.here("register", "again", "--type", "github", **wrong),
        "status": scene.here("status", "--exit-code"),
        "status: not reproducible": scene.here("status", "--exit-code", **nowhere),
        "status: a wrong token": scene.here("status", "--exit-code", "--check", **wrong),
        "snapshot": scene.here("snapshot"),
        "snapshot: not reproducible": scene.here("snapshot", **nowhere),
        "snapshot: outside a checkout": scene.user.run("snapshot", cwd=outside, check=False),
        "run": scene.here("run", "--", "true"),
        "run: the command fails with 3": scene.here("run", "--", "sh", "-c", "exit 3"),
        "run: the command ends by SIGTERM": scene.here("run", "--", "sh", "-c", "kill -TERM $$"),
        "run: no such command": scene.here("run", "--", "no-such-command"),
        "run: not executable": scene.here("run", "--", "./train.py"),
        "run: without a command": scene.here("run"),
        "run: cannot be recorded": scene.here("run", "--", "true", **nowhere),
        "run: a missing output": scene.here("run", "--output", "never-made", "--", "true"),
        "log": scene.here("log"),
        "show: no such run": scene.here("show", "no-such-run"),
        "diff": scene.here("diff", "first"),
        "diff --exit-code: equal": scene.here("diff", "second", ".", "--", "--exit-code"),
        "diff --exit-code: different": scene.here("diff", "first", "second", "--", "--exit-code"),
        "publish": scene.here("publish", "second"),
        "publish: no such run": scene.here("publish", "no-such-run"),
        "prune": scene.here("prune", "--dry-run"),
        "prune: no age": scene.here("prune", "--older-than", "soon"),
        "build-key": scene.here("build-key"),
        "hooks status": scene.here("hooks", "status"),
        "hook pre-run": scene.here("hook", "pre-run"),
        "hook pre-run: cannot be recorded": scene.here("hook", "pre-run", **nowhere),
        "fetch": scene.there("fetch", "run.json", "fetched"),
        "fetch: the target is not empty": scene.there("fetch", "run.json", "fetched"),
        "fetch: no such manifest": scene.there("fetch", "no-such.json", "new"),
        "fetch: not a manifest": scene.there("fetch", "invalid.json", "new"),
        "fetch: without a credential": scene.there(
            "fetch", "run.json", "new", CODEREPO_CREDENTIALS_FILE="", CODEREPO_CACHE_DIR="/nowhere"
        ),
        "fetch: a wrong token": scene.there("fetch", "run.json", "refused", **wrong, **empty),
        "fetch: an unknown method": scene.there("fetch", "--method", "no-such", "run.json", "new"),
        "exec": scene.there("exec", "run.json", "--", "true"),
        "exec: the command fails with 5": scene.there("exec", "run.json", "--", "sh", "-c", "exit 5"),
        "exec: cannot be fetched": scene.there("exec", "no-such.json", "--", "true"),
        "exec: no such command": scene.there("exec", "run.json", "--", "no-such-command"),
        "verify": scene.there("verify", "run.json", "code"),
        "verify: different": scene.there("verify", "run.json", "differs"),
        "verify: no such directory": scene.there("verify", "run.json", "no-such-directory"),
        "validate": scene.there("validate", "run.json"),
        "validate: not valid": scene.there("validate", "invalid.json"),
        "cache list": scene.there("cache", "list"),
        "cache prune": scene.there("cache", "prune", "--dry-run"),
        "completion": scene.there("completion", "bash"),
    }
    numbers = {name: result.status for name, result in found.items()}
    numbers["run: interrupted"] = _interrupted(scene.user, scene.checkout)
    return numbers


def _interrupted(user: Machine, checkout: Repo) -> int:
    """The status of `run` whose command is interrupted by its terminal."""
    mark = user.home / "started"
    words: list[Any] = [user.program.executable(), "run", "--", "sh", "-c", f"touch '{mark}'; exec sleep 60"]
    process = subprocess.Popen(
        words, cwd=checkout.path, env=user.env, start_new_session=True, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while not mark.exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    return process.wait(timeout=60)


def variables(scene: Scene) -> dict[str, list[str]]:
    """The variables of ours that a command finds in its environment."""
    show = [os.path.realpath("/usr/bin/env")]
    found = {
        "run": scene.here("run", "--", *show, check=True).text,
        "exec": scene.there("exec", "run.json", "--", *show, check=True).text,
    }
    return {
        verb: sorted(set(re.findall(r"^((?:CODEREPO|PYTHON)\w*)=", text, re.MULTILINE))) for verb, text in found.items()
    }


# Asked of Python itself: the names that `git_coderepo` and its two other public modules offer, and their parameters.
API = """
import importlib, inspect, json
found = {}
for module in ("git_coderepo", "git_coderepo.compat", "git_coderepo.testing"):
    loaded = importlib.import_module(module)
    offered = getattr(loaded, "__all__", None) or [
        name for name, value in vars(loaded).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module
    ]
    found[module] = {}
    for name in sorted(offered):
        value = getattr(loaded, name)
        try:
            parameters = list(inspect.signature(value).parameters)
        except (TypeError, ValueError):
            parameters = None
        members = sorted(each for each in dir(value) if not each.startswith("_")) if inspect.isclass(value) else []
        found[module][name] = {"parameters": parameters, "members": members}
print(json.dumps(found))
"""
