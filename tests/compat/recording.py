"""What one version writes: everything that a later version may find on a disk, recorded by its installed program."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.compat import interface
from tests.compat.machines import ROOT, clone, emptied, machine, pack
from tests.compat.manifest_cases import CASES, CUSTOM_CLASS, CUSTOM_MODULE, Case, checkout_of, seed
from tests.compat.platforms import HOSTS, TOKENS, platforms
from tests.e2e.support import Machine
from tests.forge import Stall, Status
from tests.hooks.support import picture
from tests.support.repo import Repo, tree_of

KEYRING_MODULE = "compat_keyring"
KEYRING = {"PYTHON_KEYRING_BACKEND": f"{KEYRING_MODULE}.FileKeyring"}
_HOST = "a-machine"


class Recorder:
    """Records into `into` with the programs of the environment `venv`; everything else lies below ROOT."""

    def __init__(self, venv: Path, into: Path) -> None:
        self.venv = venv
        self.programs = venv / "bin"
        self.into = into
        self.left_out: dict[str, str] = {}

    def record(self) -> None:
        with platforms(emptied(ROOT / "platforms")) as made:
            self.platforms = made
            seed(made, machine(emptied(ROOT / "author"), None, None))
            for name, record in (
                ("manifests", self.manifests),
                ("registrations", self.registrations),
                ("checkout", self.checkout),
                ("cache", self.cache),
                ("store", self.store),
                ("leftovers", self.leftovers),
                ("hooks", self.hooks),
            ):
                print(f"  {name}", flush=True)
                record()
            # The interface publishes and asks: its scene comes last, and is not among what the platforms keep.
            made.save(emptied(self.into / "platforms"))
            print("  interface", flush=True)
            self.interface()
        self._write("left-out.json", self.left_out)

    # --- manifests and receipts ---

    def manifests(self) -> None:
        manifests, receipts = emptied(self.into / "manifests"), emptied(self.into / "receipts")
        facts: dict[str, Any] = {}
        for case in CASES:
            try:
                facts[case.name] = self._manifest(case, manifests, receipts)
            except AssertionError as error:
                for file in [*manifests.glob(f"{case.name}.*"), *receipts.glob(f"{case.name}.*")]:
                    file.unlink()
                self.left_out[f"manifest '{case.name}'"] = _last_line(error)
        self._write("manifests.json", facts)

    def _manifest(self, case: Case, manifests: Path, receipts: Path) -> dict[str, Any]:
        user = self._machine("user", env={**KEYRING})
        checkout = checkout_of(case, user, self.platforms, user.home / "checkout")
        manifest = ROOT / "sent" / f"{case.name}.json"
        emptied(manifest.parent)
        words: list[Any] = list(case.snapshot)
        if case.name == "published":
            env = {"CODEREPO_PUBLISH": "auto"}
            user.run("run", "--manifest", manifest, "--", "true", cwd=checkout.repo.path, env=env)
        else:
            user.run("snapshot", "-o", manifest, *words, cwd=checkout.repo.path, env=case.env)
        runner = self._machine("runner", env=case.runner)
        fact: dict[str, Any] = {"fetch": list(case.fetch), "env": dict(case.runner), "fetched": case.fetched}
        document = json.loads(manifest.read_bytes())
        for method in case.methods if case.fetched else ():
            chosen = [] if method == "auto" else ["--method", method]
            receipt = ROOT / "receipt.json"
            runner.run("fetch", *case.fetch, *chosen, "--receipt", receipt, manifest, f"code {method}")
            tree = _files(runner.home / f"code {method}", runner, document["code"]["objectFormat"])
            assert fact.setdefault("files", tree) == tree, f"{case.name}: another tree by {method}"
            self._copy(receipt, receipts / f"{case.name}.{method}.json")
        for file in manifest.parent.iterdir():
            self._copy(file, manifests / file.name)
        fact["tree"] = document["code"]["snapshot"]["tree"]
        if case.name == "plain":
            self._receipts(manifest, runner, receipts)
        return fact

    def _receipts(self, manifest: Path, runner: Machine, receipts: Path) -> None:
        """Receipts of a cache hit, of an archive that failed, of one directory, and of a commit without a manifest."""

        def keep(name: str, *words: Any) -> None:
            runner.run(*words, "--receipt", ROOT / "receipt.json")
            self._copy(ROOT / "receipt.json", receipts / f"{name}.json")

        keep("cache.miss", "fetch", "--cache", manifest, "code cached")
        keep("cache.hit", "fetch", "--cache", manifest, "code cached again")
        runner.run("exec", "--receipt", ROOT / "receipt.json", manifest, "--", "true")
        self._copy(ROOT / "receipt.json", receipts / "exec.json")
        forge = self.platforms.forges["github"]
        forge.misbehave("archive", Status(500), times=None)
        env = {"CODEREPO_CACHE_DIR": str(ROOT / "no cache"), "CODEREPO_MAX_WAIT": "0"}
        runner.run("fetch", "--receipt", ROOT / "receipt.json", manifest, "code fallback", env=env)
        self._copy(ROOT / "receipt.json", receipts / "fallback.json")
        forge.behave()
        keep("directory", "fetch", "--subdirectory", "data", manifest, "code directory")
        repository = forge.repository("acme/library")
        assert repository is not None
        commit = json.loads(manifest.read_bytes())["code"]["head"]["commit"]
        keep("commit", "fetch", f"{repository.url}@{commit}", "code commit")

    # --- what the user said ---

    def registrations(self) -> None:
        user = self._machine("user", env=KEYRING)
        host = {kind: names[0] for kind, names in HOSTS.items()}
        # A host rule, a value in the keyring and references to it, tokens in the keyring, a registration of each kind.
        user.run(
            "login",
            "--host",
            host["git"],
            "--user",
            "ada",
            "--no-verify",
            "--token",
            "-",
            input=b"made-up-for-git\n",
            cwd=user.home,
        )
        user.run("secret", "set", "corp", "--token=-", input=b"made-up-for-gitlab\n", cwd=user.home)
        checkout = clone(user, self.platforms, "github", "acme/widgets", user.home / "checkout")
        checkout.git("config", "--global", f"coderepo.https://{host['gitlab']}/.type", "gitlab")
        checkout.git("config", "--global", f"coderepo.https://{host['gitlab']}/.token", "{{corp.token}}")
        gitlab = self.platforms.forges["gitlab"].repository("ml/models")
        git = self.platforms.forges["git"].repository("odd/names")
        company = self.platforms.forges["git"].repository("odd/custom")
        assert gitlab is not None and git is not None and company is not None
        checkout.git("remote", "add", "models", gitlab.url)
        checkout.git("remote", "add", "names", git.url)
        checkout.git("remote", "add", "company", company.url)
        quiet = {"CODEREPO_CREDENTIALS_FILE": ""}
        token = TOKENS["github"][1].encode() + b"\n"
        here: dict[str, Any] = {"cwd": checkout.path, "env": quiet}
        user.run("register", "--type", "github", "--description", "the widgets", "--token", "-", input=token, **here)
        user.run("register", "models", "--type", "gitlab", "--remote", "models", "--token={{corp.token}}", **here)
        user.run("register", "names", "--type", "git", "--remote", "names", **here)
        user.run(
            "register",
            "company",
            "--type",
            "custom",
            "--source",
            f"{CUSTOM_MODULE}.Files",
            "--url",
            company.url,
            "--remote",
            "company",
            "--no-verify",
            **here,
        )
        found: dict[str, Any] = {
            "list": user.run("list", "--json", **here).json(),
            "secrets": user.run("secret", "list", "--json", **here).json(),
            "describe": {},
        }
        for each in found["list"]:
            found["describe"][each["name"]] = user.run("describe", "--json", each["name"], **here).json()
        into = emptied(self.into / "registrations")
        for source, name in (
            (user.home / ".gitconfig", "gitconfig"),
            (checkout.path / ".git" / "config", "config"),
            (user.home / "keyring.json", "keyring.json"),
            (user.home / "credentials", "credentials"),
        ):
            shutil.copy(source, into / name)
        (into / "recorded.json").write_text(_json(found), encoding="utf-8")

    # --- a checkout with a record ---

    def checkout(self) -> None:
        user = self._machine("user")
        checkout = clone(user, self.platforms, "github", "acme/widgets", user.home / "checkout")

        def here(*words: Any, check: bool = True, **env: str) -> Any:
            return user.run(*words, cwd=checkout.path, check=check, env=env)

        here("register")
        here("run", "--name", "first", "--", "true")
        checkout.write("train.py", "lr = 0.7\n")
        checkout.write("notes", "never committed\n")
        here("ignore", "made/")
        here("run", "--name", "outputs", "--output", "made", "--", "sh", "-c", "mkdir -p made; echo x >made/model")
        checkout.write("more notes", "x\n" * 200)
        here("run", "--name", "apart", "--", "true", CODEREPO_INLINE_LIMIT="0")
        here("run", "--name", "fails", "--", "sh", "-c", "exit 3", check=False)
        here("run", "--name", "edits", "--", "sh", "-c", "echo edited >>train.py")
        here("publish", "outputs")
        here("snapshot", "-o", "here.json")
        here("fetch", "--receipt", "receipt.json", "fails", "fetched")
        with self._killed(user, checkout, "run", "--name", "killed", "--", "sleep", "600") as running:
            _until(lambda: any(self._results(checkout, "killed")), running)
        here("log")  # its readers make an index
        runs = here("log", "--json").json()
        tree = here("snapshot").json()["code"]["snapshot"]["tree"]
        names = [{"name": run["name"], "tree": run["tree"], "status": run.get("status")} for run in runs]
        self._write("checkout.json", {"runs": names, "tree": tree, "published": "outputs"})
        shutil.rmtree(checkout.path / ".git" / "hooks", ignore_errors=True)
        self._anonymous(checkout.path)
        pack(checkout.path, self.into / "checkout.tar.xz")

    def _results(self, checkout: Repo, name: str) -> list[Path]:
        """The results of the runs of a name."""
        found = []
        for path in (checkout.path / ".git" / "coderepo" / "runs").glob("*/*.result.json"):
            manifest = path.with_name(path.name.replace(".result.json", ".json"))
            if manifest.exists() and json.loads(manifest.read_bytes())["run"]["name"] == name:
                found.append(path)
        return found

    # --- caches, stores, leftovers ---

    def _sent(self, env: Mapping[str, str] | None = None) -> tuple[Machine, Repo, Path]:
        user = self._machine("user", env=env)
        checkout = clone(user, self.platforms, "github", "acme/widgets", user.home / "checkout")
        user.run("register", cwd=checkout.path)
        checkout.write("train.py", "lr = 0.9\n")
        manifest = ROOT / "sent" / "run.json"
        emptied(manifest.parent)
        user.run("snapshot", "-o", manifest, cwd=checkout.path)
        return user, checkout, manifest

    def cache(self) -> None:
        _, _, manifest = self._sent()
        runner = self._machine("runner")
        runner.run("exec", manifest, "--", "true")
        runner.run("fetch", "--cache", manifest, "code")
        into = emptied(self.into / "cache")
        self._copy(manifest, into / "run.json")
        pack(runner.home / ".cache", into / "cache.tar.xz")

    def store(self) -> None:
        place = emptied(ROOT / "store")
        _, _, manifest = self._sent({"CODEREPO_STORE": f"file://{place}"})
        runner = self._machine("runner", env={"CODEREPO_STORE": f"file://{place}"})
        runner.run("fetch", "--receipt", ROOT / "receipt.json", manifest, "code")
        self._copy(ROOT / "receipt.json", self.into / "receipts" / "store.json")
        into = emptied(self.into / "store")
        self._copy(manifest, into / "run.json")
        pack(place, into / "store.tar.xz")

    def leftovers(self) -> None:
        """What a fetch, an exec, and a snapshot leave that are killed in the middle."""
        user, checkout, manifest = self._sent()
        runner = self._machine("runner")
        forge = self.platforms.forges["github"]
        for words in (
            ("fetch", "--method", "archive", manifest, "code"),
            ("fetch", "--method", "git", manifest, "code"),
            ("exec", manifest, "--", "true"),
        ):
            # What the attributes convert is not in an archive as it is in the tree: git is asked first.
            kind = "archive" if "archive" in words else "git/upload-pack"
            forge.misbehave(kind, Stall(after=100), times=1)
            forge.forget_requests()
            with self._killed(runner, None, *words) as process:
                _until(partial(forge.requests, kind), process)
                time.sleep(1)
            forge.behave()
        checkout.write("large.bin", os.urandom(40_000_000))
        with self._killed(user, checkout, "snapshot") as process:
            _until(lambda: process.poll() is not None or any(_scratch(user, checkout)), process, alive=False)
        checkout.remove("large.bin")
        for path in _scratch(user, checkout):
            if path.is_file() and path.stat().st_size > 100_000:
                os.truncate(path, 1000)
        into = emptied(self.into / "leftovers")
        self._copy(manifest, into / "run.json")
        self._anonymous(checkout.path)
        shutil.rmtree(checkout.path / ".git" / "hooks", ignore_errors=True)
        pack(runner.home, into / "runner.tar.xz")
        pack(user.home, into / "user.tar.xz")

    # --- hooks ---

    def hooks(self) -> None:
        foreign = {
            "pre-run": b"#!/bin/sh\necho ours\n",
            "post-commit": b"#!/usr/bin/env bash\nset -e\nexec true",
            "post-merge": b"#!/bin/sh",
        }

        def no_folder(repo: Repo, home: Path) -> None:
            shutil.rmtree(repo.path / ".git" / "hooks", ignore_errors=True)

        def beside(repo: Repo, home: Path) -> None:
            no_folder(repo, home)
            (repo.path / ".git" / "hooks").mkdir()
            for event, script in foreign.items():
                path = repo.path / ".git" / "hooks" / event
                path.write_bytes(script)
                path.chmod(0o755)

        def empty(repo: Repo, home: Path) -> None:
            no_folder(repo, home)
            (repo.path / ".git" / "hooks").mkdir()

        def renewing(repo: Repo, home: Path) -> None:
            empty(repo, home)
            repo.git("config", "coderepo.onCommit", "snapshot")

        def of_the_user(repo: Repo, home: Path) -> None:
            no_folder(repo, home)
            (home / "githooks").mkdir()
            repo.git("config", "--global", "core.hooksPath", str(home / "githooks"))

        newest = os.environ.get("TEST_GIT_NEWEST")
        kinds: dict[str, tuple[Callable[[Repo, Path], None], list[str], str | None]] = {
            "folder": (no_folder, [], None),
            "file": (empty, [], None),
            "block": (beside, [], None),
            "snapshot": (renewing, [], None),
            "global": (of_the_user, ["--global"], None),
        }
        if newest:
            kinds["configuration"] = (no_folder, [], newest)
            kinds["configuration-global"] = (no_folder, ["--global"], newest)
        else:
            self.left_out["hooks in the configuration"] = "recorded with git 2.54 or newer only: set TEST_GIT_NEWEST"
        found: dict[str, Any] = {}
        for kind, (prepare, words, git) in kinds.items():
            user = self._machine("user")
            repo = Repo.init(user.home / "checkout", user.env)
            repo.write("train.py", "lr = 0.1\n")
            repo.commit()
            prepare(repo, user.home)
            env = {"PATH": os.pathsep.join([git, user.env["PATH"]])} if git else {}
            before = hook_files(repo, user.home)
            user.run("hooks", "install", *words, cwd=repo.path, env=env)
            found[kind] = {"words": words, "newest": bool(git), "before": before, "after": hook_files(repo, user.home)}
        self._write("hooks.json", found)

    # --- the interface ---

    def interface(self) -> None:
        scene = interface.Scene(emptied(ROOT / "scene"), self.programs, self.platforms, {})
        into = emptied(self.into / "help")
        texts = interface.verbs(scene.user)
        for verb, text in texts.items():
            (into / f"{verb.replace(' ', '-') or 'program'}.txt").write_text(text, encoding="utf-8")
        interface.prepare(scene)
        python = self.programs / "python"
        api = subprocess.run(
            [python, "-c", interface.API], capture_output=True, check=True, env=scene.user.env, cwd=ROOT
        )
        found = {
            "options": {verb: sorted(interface.options(text)) for verb, text in texts.items()},
            "manual": interface.names(scene.here("help", check=True).text),
            "variables": interface.variables(scene),
            "documents": interface.documents(scene),
            "statuses": interface.statuses(scene),
            "api": json.loads(api.stdout),
        }
        self._write("interface.json", found)

    # --- what all of them need ---

    def _machine(self, name: str, env: Mapping[str, str] | None = None) -> Machine:
        """A new machine of this name, at the place where it always is."""
        return machine(emptied(ROOT / name), self.programs, self.platforms, env)

    @contextlib.contextmanager
    def _killed(self, where: Machine, checkout: Repo | None, *words: Any) -> Any:
        """A program that runs until the block ends, and is killed then with all that it started."""
        process = subprocess.Popen(
            [where.program.executable(), *map(os.fsencode, words)],
            cwd=where.home if checkout is None else checkout.path,
            env=where.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=60)

    def _write(self, name: str, value: Any) -> None:
        (self.into / name).write_text(_neutral(_json(value)), encoding="utf-8")

    def _copy(self, source: Path, target: Path) -> None:
        """A copy without this machine's name in it."""
        if source.suffix == ".json":
            target.write_text(_neutral(source.read_text(encoding="utf-8")), encoding="utf-8")
        else:
            shutil.copyfile(source, target)

    def _anonymous(self, checkout: Path) -> None:
        """Take this machine's name out of the results of a checkout's record; the index of it is made anew."""
        for path in (checkout / ".git" / "coderepo").rglob("*.json"):
            text = path.read_text(encoding="utf-8")
            if _neutral(text) != text:
                path.write_text(_neutral(text), encoding="utf-8")


def hook_files(repo: Repo, home: Path) -> dict[str, Any]:
    """Path below HOME to mode and text, of whatever `hooks install` may touch; a folder has no text."""
    places = (repo.path / ".git" / "hooks", home / "githooks")
    found = {os.path.relpath(path, home): value for path, value in picture(*places).items()}
    for place in (*places, home / ".gitconfig", repo.path / ".git" / "config"):
        if place.exists():
            contents = place.read_bytes() if place.is_file() else b""
            found[os.path.relpath(place, home)] = (place.stat().st_mode, contents)
    return {path: [mode, contents.decode()] for path, (mode, contents) in sorted(found.items())}


def _files(directory: Path, on: Machine, object_format: str) -> str:
    """The tree id of the files of a fetched directory."""
    return tree_of(directory, on.env, object_format)


def _scratch(user: Machine, checkout: Repo) -> list[Path]:
    """What a snapshot has not finished yet, in TMPDIR and in our own store."""
    places = [Path(user.env["TMPDIR"]), checkout.path / ".git" / "coderepo"]
    return [
        path
        for place in places
        if place.exists()
        for path in place.rglob("*")
        if "tmp" in path.name or place == places[0]
    ]


def _until(condition: Callable[[], object], process: subprocess.Popen[bytes], *, alive: bool = True) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        assert not alive or process.poll() is None, f"it ended: {process.args!r}"
        time.sleep(0.005)


def _neutral(text: str) -> str:
    return text.replace(json.dumps(socket.gethostname()), json.dumps(_HOST))


def _last_line(error: AssertionError) -> str:
    lines = [line for line in str(error).splitlines() if line.startswith("fatal: ")]
    return (lines or str(error).splitlines() or ["?"])[0]


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def install_extras(site_packages: Path) -> None:
    """Put the custom class and the keyring that the recordings use beside the installed package."""
    (site_packages / f"{CUSTOM_MODULE}.py").write_text(CUSTOM_CLASS, encoding="utf-8")
    shutil.copy(Path(__file__).parents[1] / "support" / "keyring_backend.py", site_packages / f"{KEYRING_MODULE}.py")
