"""Whatever an earlier version wrote is read by this one, and what this one records is fetched by earlier runners.

The folders beside this file hold what each version wrote; README.md says how they are made.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat import interface
from tests.compat.machines import FOLDER, ROOT, clone, machine, unpack
from tests.compat.manifest_cases import CASES, Case, checkout_of, seed
from tests.compat.platforms import TOKENS, Platforms, platforms
from tests.compat.recording import KEYRING, hook_files, install_extras
from tests.e2e.support import PROJECT, everything, load
from tests.hooks.support import git_version
from tests.support.repo import Repo, tree_of

VERSIONS = sorted(path.name for path in FOLDER.iterdir() if (path / "manifests.json").is_file())
_QUICK = ("inline-overlay", "non-utf8", "unreproducible", "block")


def _of_each(file: str) -> list[Any]:
    """(version, name) for every entry of a recorded file; all but a few names are slow."""
    pairs = [(version, name) for version in VERSIONS for name in load(FOLDER / version / file)]
    return [pytest.param(*pair, marks=() if pair[1] in _QUICK else pytest.mark.slow) for pair in pairs]


MANIFESTS = _of_each("manifests.json")
HOOKS = _of_each("hooks.json")

# What a version answered, and a later one answers otherwise on purpose: the situation and the reason.
CHANGED_STATUSES = {
    "run: a missing output": "a command that did not make a declared output has failed: 0 became 1",
}
# Options that no help lists any more, and that are taken as before.
UNLISTED = {"verify": {"--strict"}}
# What an older version described otherwise: the registration, and what is so on purpose.
CHANGED_CREDENTIALS = {"company": "a custom class that declares no secret is described without a credential"}
# What a command that `exec` starts no longer finds in its environment, and why.
CHANGED_VARIABLES = {
    "CODEREPO_CREDENTIALS_FILE": "credentials are kept from the command, unless --keep-credentials passes them",
}


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with this program, and with the custom class and the keyring that the recordings use."""
    venv = tmp_path_factory.mktemp("programs") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site_packages,) = venv.glob("lib/python*/site-packages")
    import sysconfig

    (site_packages / "rest.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    install_extras(site_packages)
    script = venv / "bin" / "git-coderepo"
    script.write_text(f"#!{venv}/bin/python\nfrom git_coderepo.__main__ import main\nmain()\n")
    script.chmod(0o755)
    return venv / "bin"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Platforms]]:
    """Each version's platforms as it left them; they are started when they are first asked for."""
    started = Served(tmp_path_factory.mktemp("platforms"))
    yield started
    for each in started.values():
        each.close(check=False)


class Served(dict[str, Platforms]):
    """Platforms by version."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __missing__(self, version: str) -> Platforms:
        made = self[version] = Platforms(self.root / version)
        made.load(FOLDER / version / "platforms")
        return made


def test_there_are_recordings() -> None:
    assert len(VERSIONS) >= 2
    assert all(
        list((FOLDER / version / part).iterdir())
        for version in VERSIONS
        for part in ("manifests", "receipts", "platforms", "help", "registrations")
    )


# --- manifests and receipts --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("version", "name"), MANIFESTS, ids=lambda value: value)
def test_a_manifest_is_read_and_fetched(
    version: str, name: str, programs: Path, served: dict[str, Platforms], tmp_path: Path
) -> None:
    fact = load(FOLDER / version / "manifests.json")[name]
    manifest = FOLDER / version / "manifests" / f"{name}.json"
    runner = machine(tmp_path / "runner", programs, served[version], fact["env"])
    runner.run("validate", manifest)
    assert runner.run("show", "--json", manifest).stdout == manifest.read_bytes()
    got = runner.run("fetch", "--json", *fact["fetch"], manifest, "code", check=False)
    if not fact["fetched"]:
        assert got.status == 128 and got.errors.startswith("fatal: "), got.errors
        return
    assert got.status == 0, got.errors
    assert got.json()["tree"] == fact["tree"]
    object_format = load(manifest)["code"]["objectFormat"]
    assert tree_of(runner.home / "code", runner.env, object_format) == fact["files"]
    if "--no-lfs" not in fact["fetch"]:
        runner.run("verify", manifest, "code")


@pytest.mark.parametrize("version", VERSIONS)
def test_receipts_and_manifests_are_valid(version: str, programs: Path, tmp_path: Path) -> None:
    receipts = sorted((FOLDER / version / "receipts").iterdir())
    methods = {load(path)["method"] for path in receipts}
    assert {"archive", "git", "published", "store"} <= methods
    machine(tmp_path / "runner", programs, None).run("validate", *receipts)


# --- a checkout and its record -----------------------------------------------------------------------


@pytest.fixture(params=VERSIONS)
def recorded(request: pytest.FixtureRequest, programs: Path, tmp_path: Path) -> Iterator[Recorded]:
    """A checkout with a version's `.git/coderepo` in it, and platforms that the test may push to."""
    made = Platforms(tmp_path / "platforms")
    made.load(FOLDER / request.param / "platforms")
    yield Recorded(request.param, made, programs, tmp_path)
    made.close(check=False)


class Recorded:
    def __init__(self, version: str, served: Platforms, programs: Path, root: Path) -> None:
        self.folder = FOLDER / version
        self.facts = load(self.folder / "checkout.json")
        self.platforms = served
        self.user = machine(root / "user", programs, served)
        self.checkout = Repo(unpack(self.folder / "checkout.tar.xz", root / "user" / "checkout"), self.user.env)

    def here(self, *words: Any, check: bool = True, **env: str) -> Any:
        return self.user.run(*words, cwd=self.checkout.path, check=check, env=env)


@pytest.mark.slow
def test_a_record_is_read_written_and_pruned(recorded: Recorded) -> None:
    facts = recorded.facts
    listed = recorded.here("log", "--json").json()
    assert [{"name": run["name"], "tree": run["tree"], "status": run["status"]} for run in listed] == facts["runs"]
    assert {run["name"] for run in listed if run["published"]} == {facts["published"]}
    for run in listed:
        document = recorded.here("show", "--json", run["id"]).json()
        assert document["code"]["snapshot"]["tree"] == run["tree"]
        assert run["id"] in recorded.here("show", run["name"]).text
    assert "lr = 0.7" in recorded.here("diff", "first", "outputs").text
    # What that version wrote into the checkout itself is not taken for code.
    assert recorded.here("snapshot").json()["code"]["snapshot"]["tree"] == facts["tree"]
    recorded.here("run", "--name", "later", "--", "true")
    assert recorded.here("log", "--json", "-n", "1").json()[0]["tree"] == facts["tree"]
    recorded.here("publish", "apart")
    again = clone(recorded.user, recorded.platforms, "github", "acme/widgets", recorded.user.home / "again")
    trees = {run["name"]: run["tree"] for run in listed}
    for name in ("apart", facts["published"]):
        recorded.user.run("fetch", name, f"../of {name}", cwd=again.path)
        assert recorded.user.run("verify", name, f"../of {name}", cwd=again.path).status == 0
    recorded.here("prune", "--keep", "2")
    kept = {run["name"] for run in recorded.here("log", "--json").json()}
    assert {"later"} <= kept <= {*trees, "later"}
    for name in sorted(kept - {"killed"})[:2]:
        recorded.here("fetch", name, f"../local {name}")


@pytest.mark.slow
def test_a_damaged_or_foreign_index_of_the_record_is_made_anew(recorded: Recorded) -> None:
    index = recorded.checkout.path / ".git" / "coderepo" / "runs" / "index.sqlite"
    before = recorded.here("log", "--json").json()
    index.write_bytes(b"not a database")
    assert recorded.here("log", "--json").json() == before


# --- what the user said ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_registrations_and_credentials_are_found_again(
    version: str, programs: Path, served: dict[str, Platforms], tmp_path: Path
) -> None:
    kept = FOLDER / version / "registrations"
    facts = load(kept / "recorded.json")
    user = machine(tmp_path / "user", programs, served[version], {**KEYRING, "CODEREPO_CREDENTIALS_FILE": ""})
    checkout = clone(user, served[version], "github", "acme/widgets", user.home / "checkout")
    shutil.copy(kept / "gitconfig", user.home / ".gitconfig")
    shutil.copy(kept / "config", checkout.path / ".git" / "config")
    shutil.copy(kept / "keyring.json", user.home / "keyring.json")

    def here(*words: str, **env: str) -> Any:
        return user.run(*words, cwd=checkout.path, env=env).json()

    assert interface_difference(facts["list"], here("list", "--json"), values=True) == []
    assert interface_difference(facts["secrets"], here("secret", "list", "--json"), values=True) == []
    for name, described in facts["describe"].items():
        if name in CHANGED_CREDENTIALS:
            del described["credential"]
        assert interface_difference(described, here("describe", "--json", name), values=True) == []
    for name in ("origin", "models", "names"):
        checked = here("status", "--json", "--check", "--code-repository", name)
        assert checked["repository"]["name"] == name
    # Without a keyring the file of credentials serves, with the tokens as that version kept them.
    shutil.copy(kept / "credentials", user.home / "credentials")
    user.run(
        "status",
        "--check",
        "--exit-code",
        cwd=checkout.path,
        env={"CODEREPO_CREDENTIALS_FILE": str(user.home / "credentials")},
    )
    for kind, forge in served[version].forges.items():
        assert forge.origins_that_saw(TOKENS[kind][1]) <= {forge.url}


# --- caches, stores, leftovers -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_cache_is_used_or_ignored_and_never_believed(
    version: str, programs: Path, served: dict[str, Platforms], tmp_path: Path
) -> None:
    manifest = FOLDER / version / "cache" / "run.json"
    runner = machine(tmp_path / "runner", programs, served[version])
    cache = unpack(FOLDER / version / "cache" / "cache.tar.xz", runner.home / ".cache")
    for _ in range(2):
        assert runner.run("exec", "--receipt", "receipt.json", manifest, "--", "cat", "train.py").text == "lr = 0.9\n"
        assert load(runner.home / "receipt.json")["verified"] is True
    for path in cache.rglob("train.py"):
        path.chmod(0o644)
        path.write_text("lr = 6.6\n")
    assert runner.run("exec", manifest, "--", "cat", "train.py").text == "lr = 0.9\n"
    runner.run("cache", "list")
    runner.run("cache", "prune", "--older-than", "1s")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_shared_store_serves_alone(version: str, programs: Path, tmp_path: Path) -> None:
    store = unpack(FOLDER / version / "store" / "store.tar.xz", tmp_path / "store")
    runner = machine(tmp_path / "runner", programs, None, {"CODEREPO_STORE": f"file://{store}"})
    manifest = FOLDER / version / "store" / "run.json"
    receipt = runner.run("fetch", "--json", manifest, "code").json()
    assert (receipt["method"], receipt["tree"]) == ("store", load(manifest)["code"]["snapshot"]["tree"])


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_what_killed_processes_left_is_in_nobodys_way(
    version: str, programs: Path, served: dict[str, Platforms], tmp_path: Path
) -> None:
    kept = FOLDER / version / "leftovers"
    runner = machine(unpack(kept / "runner.tar.xz", tmp_path / "runner"), programs, served[version])
    before = everything(runner.home)
    assert any(".coderepo-" in path for path in before)
    runner.run("fetch", kept / "run.json", "code")
    assert [path for path in os.listdir(runner.home) if path.startswith(".code.coderepo-")] == []
    assert runner.run("exec", kept / "run.json", "--", "cat", "train.py").text == "lr = 0.9\n"
    assert [path for path in everything(runner.home / "tmp") if "scratch" in path] == []
    runner.run("cache", "prune")  # a cache of an older form is not used, but it is removed
    assert [path for path in everything(runner.home / ".cache") if ".coderepo-" in path or ".filling-" in path] == []
    user = machine(unpack(kept / "user.tar.xz", tmp_path / "user"), programs, served[version])
    checkout = Repo(user.home / "checkout", user.env)
    tree = load(kept / "run.json")["code"]["snapshot"]["tree"]
    assert user.run("snapshot", cwd=checkout.path).json()["code"]["snapshot"]["tree"] == tree
    user.run("prune", cwd=checkout.path)
    checkout.git("fsck", "--strict")


# --- hooks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "kind"), HOOKS, ids=lambda value: value)
def test_installed_hooks_stay_quick_and_come_out_whole(version: str, kind: str, tmp_path: Path) -> None:
    fact = load(FOLDER / version / "hooks.json")[kind]
    if fact["newest"] and git_version() < (2, 54):
        pytest.skip("hooks in the configuration need git 2.54: TEST_GIT names one")
    user = machine(tmp_path / "user", None, None)
    repo = Repo.init(user.home / "checkout", user.env)
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    marker = user.home / "started"
    program = user.home / "whole" / "git-coderepo"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch '{marker}'\nexec '{os.fsdecode(user.program.executable())}' \"$@\"\n")
    program.chmod(0o755)
    restore(fact["after"], user.home, repo, program)

    launch = ["hook", "run", *(["--allow-unknown-hook-name"] if git_version() >= (2, 54) else []), "pre-run"]
    repo.git(*launch)
    assert not marker.exists(), "the whole program was started in the place of the lean one"
    current = repo.path / ".git" / "coderepo" / "current.json"
    assert load(current)["code"]["snapshot"]["tree"] == repo.tree()
    repo.write("train.py", "lr = 0.2\n")
    repo.commit()
    if kind == "snapshot":
        assert load(current)["code"]["head"]["commit"] == repo.head()
    else:
        assert not current.exists()

    said = user.run("hooks", "status", "--json", cwd=repo.path).json()
    assert {hook["state"] for hook in said["hooks"]} <= {"installed", "outdated"}
    user.run("hooks", "uninstall", *fact["words"], cwd=repo.path)
    assert hook_files(repo, user.home) == moved(fact["before"], user.home, program)


@pytest.mark.parametrize(("version", "kind"), HOOKS, ids=lambda value: value)
def test_installed_hooks_are_brought_up_to_date(version: str, kind: str, tmp_path: Path) -> None:
    fact = load(FOLDER / version / "hooks.json")[kind]
    if fact["newest"] and git_version() < (2, 54):
        pytest.skip("hooks in the configuration need git 2.54: TEST_GIT names one")
    user = machine(tmp_path / "user", None, None)
    repo = Repo.init(user.home / "checkout", user.env)
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    restore(fact["after"], user.home, repo, Path(os.fsdecode(user.program.executable())))
    user.run("hooks", "install", *fact["words"], cwd=repo.path)
    said = user.run("hooks", "status", "--json", cwd=repo.path).json()
    assert {hook["state"] for hook in said["hooks"]} == {"installed"}
    user.run("hooks", "uninstall", *fact["words"], cwd=repo.path)
    program = Path(os.fsdecode(user.program.executable()))
    assert hook_files(repo, user.home) == moved(fact["before"], user.home, program)


def moved(files: dict[str, Any], home: Path, program: Path) -> dict[str, Any]:
    """The recorded files, with the places of this machine for those of the recording."""
    found = {}
    for path, (mode, text) in files.items():
        places = (
            (f"{ROOT}/venv/bin/git-coderepo", str(program)),
            (f"{ROOT}/user", str(home)),
        )
        import re

        text = re.sub(rf"{ROOT}/venv/lib/[^/]+/site-packages", str(PROJECT), text)
        text = re.sub(rf"{ROOT}/venv/bin/python[\d.]*", sys.executable, text)
        for old, new in places:
            text = text.replace(old, new)
        found[path] = [mode, text]
    return found


def restore(files: dict[str, Any], home: Path, repo: Repo, program: Path) -> None:
    """Put recorded hooks and configuration where they were."""
    shutil.rmtree(repo.path / ".git" / "hooks", ignore_errors=True)
    for path, (mode, text) in moved(files, home, program).items():
        place = home / path
        if mode & 0o170000 == 0o040000:
            place.mkdir(parents=True, exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
        place.chmod(mode & 0o7777)


# --- the interface -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scene(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[interface.Scene]:
    root = tmp_path_factory.mktemp("interface")
    with platforms(root / "platforms") as made:
        seed(made, machine(root / "author", None, None))
        prepared = interface.Scene(root / "scene", programs, made, {})
        interface.prepare(prepared)
        yield prepared


@pytest.fixture(scope="module")
def helps(scene: interface.Scene) -> dict[str, set[str]]:
    return {verb: interface.options(text) for verb, text in interface.verbs(scene.user).items()}


@pytest.fixture(scope="module")
def answers(scene: interface.Scene) -> dict[str, Any]:
    """What this version answers, asked in the order in which it was recorded: a cache fills on the way."""
    manual = interface.names(scene.here("help", check=True).text)
    variables = interface.variables(scene)
    return {
        "manual": manual,
        "variables": variables,
        "documents": interface.documents(scene),
        "strict": scene.there("verify", "--strict", "run.json", "code").status,
        "statuses": interface.statuses(scene),
    }


def interface_of(version: str) -> Any:
    return load(FOLDER / version / "interface.json")


@pytest.mark.slow
def test_no_option_is_gone(helps: dict[str, set[str]], answers: dict[str, Any]) -> None:
    assert answers["strict"] == 0, "an option that is not listed any more is still taken"
    for version in VERSIONS:
        old = interface_of(version)["options"]
        gone = {
            verb: sorted(set(options) - helps.get(verb, set()) - UNLISTED.get(verb, set()))
            for verb, options in old.items()
        }
        assert {verb: options for verb, options in gone.items() if options} == {}, version
        assert set(old) <= set(helps), version


@pytest.mark.slow
def test_no_variable_and_no_setting_is_gone(answers: dict[str, Any]) -> None:
    manual, variables = answers["manual"], answers["variables"]
    for version in VERSIONS:
        old = interface_of(version)
        for kind, names in old["manual"].items():
            assert sorted(set(names) - set(manual[kind])) == [], (version, kind)
        for verb, names in old["variables"].items():
            assert set(names) - set(variables[verb]) <= set(CHANGED_VARIABLES), (version, verb)


@pytest.mark.slow
def test_no_key_of_a_json_document_is_gone(answers: dict[str, Any]) -> None:
    documents = answers["documents"]
    for version in VERSIONS:
        for verb, old in interface_of(version)["documents"].items():
            assert interface_difference(old, documents[verb]) == [], (version, verb)


@pytest.mark.slow
def test_every_verb_with_json_is_among_the_documents(helps: dict[str, set[str]]) -> None:
    for version in VERSIONS:
        known = {name.partition(" --")[0] for name in interface_of(version)["documents"]}
        assert {verb for verb, options in interface_of(version)["options"].items() if "--json" in options} <= known


@pytest.mark.slow
def test_the_statuses_are_what_they_were(answers: dict[str, Any]) -> None:
    statuses = answers["statuses"]
    for version in VERSIONS:
        old = interface_of(version)["statuses"]
        assert set(old) <= set(statuses), version
        changed = {name: (status, statuses[name]) for name, status in old.items() if statuses[name] != status}
        assert set(changed) <= set(CHANGED_STATUSES), (version, changed)


def test_no_public_name_of_python_is_gone(programs: Path, tmp_path: Path) -> None:
    env = machine(tmp_path / "user", programs, None).env
    done = subprocess.run([sys.executable, "-c", interface.API], capture_output=True, check=True, env=env, cwd=tmp_path)
    now = json.loads(done.stdout)
    for version in VERSIONS:
        for module, names in interface_of(version)["api"].items():
            for name, old in names.items():
                assert name in now[module], (version, module, name)
                assert sorted(set(old["members"]) - set(now[module][name]["members"])) == [], (version, name)
                assert sorted(set(old["parameters"] or ()) - set(now[module][name]["parameters"] or ())) == [], name


def interface_difference(old: Any, new: Any, where: str = "", *, values: bool = False) -> list[str]:
    """The places where a document lacks what an older one had: a key, a type of value, or with `values` the value."""
    if isinstance(old, dict):
        if not isinstance(new, dict):
            return [f"{where}: no object"]
        found = [f"{where}.{key}: gone" for key in old if key not in new]
        for key in old:
            if key in new:
                found += interface_difference(old[key], new[key], f"{where}.{key}", values=values)
        return found
    if isinstance(old, list):
        if not isinstance(new, list):
            return [f"{where}: no list"]
        if values:
            pairs = list(zip(old, new, strict=False))
            return [f"{where}: shorter"] * (len(new) < len(old)) + [
                each
                for number, (a, b) in enumerate(pairs)
                for each in interface_difference(a, b, f"{where}[{number}]", values=True)
            ]
        # The first of each kind stands for all.
        if old and new:
            return interface_difference(old[0], new[0], f"{where}[]")
        return []
    if values:
        return [] if old == new else [f"{where}: {old!r} became {new!r}"]
    if old is None or new is None or type(old) is type(new):
        return []
    return [f"{where}: {type(old).__name__} became {type(new).__name__}"]


# --- old runners -------------------------------------------------------------------------------------


def unpacked(version: str, into: Path) -> Path:
    """The files of a recorded version, out of this repository's history; skips the test where it does not have them."""
    commit = version.rpartition("-")[2]
    known = subprocess.run(["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=PROJECT, capture_output=True)
    if known.returncode != 0:
        pytest.skip(f"the commit {commit} is not in this repository's history")
    data = subprocess.run(["git", "archive", commit], cwd=PROJECT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(into, filter="data")
    return into


def starter(folder: Path, command: str) -> Path:
    """A folder for PATH whose `git-coderepo` is this shell command."""
    folder.mkdir()
    script = folder / "git-coderepo"
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o755)
    return folder


@pytest.fixture(scope="module", params=VERSIONS)
def old_programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of a recorded version, with the packages of this environment."""
    root = tmp_path_factory.mktemp("old-program")
    package = unpacked(request.param, root / "package")
    start = f"import sys; sys.path.insert(0, {str(package)!r}); from git_coderepo.__main__ import main; main()"
    return starter(root / "bin", f'"{sys.executable}" -c "{start}"')


@pytest.fixture(scope="module", params=VERSIONS)
def old_pyz(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runner of a recorded version as one file, as that version builds it."""
    root = tmp_path_factory.mktemp("old-pyz")
    package = unpacked(request.param, root / "package")
    words: list[Any] = [sys.executable, "-m", "pyz", root / "git-coderepo.pyz"]
    done = subprocess.run(words, cwd=package, capture_output=True, text=True, timeout=280)
    if done.returncode != 0:
        pytest.skip(f"it cannot be built here: {done.stderr.strip().splitlines()[-1:]}")
    return starter(root / "bin", f'"{sys.executable}" -IS "{root}/git-coderepo.pyz"')


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if not case.runner], ids=lambda case: case.name)
def test_an_old_runner_fetches_what_this_version_records(
    case: Case, old_programs: Path, programs: Path, tmp_path: Path
) -> None:
    fetched_by(old_programs, case, programs, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inline-overlay", "submodules", "lfs-travels"])
def test_an_old_runner_of_one_file_fetches_what_this_version_records(
    name: str, old_pyz: Path, programs: Path, tmp_path: Path
) -> None:
    fetched_by(old_pyz, next(case for case in CASES if case.name == name), programs, tmp_path)


def fetched_by(old: Path, case: Case, programs: Path, tmp_path: Path) -> None:
    """Record a case with this version, and fetch it with an old one: the same files arrive as here."""
    with platforms(tmp_path / "platforms") as made:
        seed(made, machine(tmp_path / "author", None, None))
        user = machine(tmp_path / "user", programs, made)
        checkout = checkout_of(case, user, made, user.home / "checkout")
        manifest = tmp_path / "sent" / "run.json"
        manifest.parent.mkdir()
        if case.name == "published":
            env = {"CODEREPO_PUBLISH": "auto"}
            user.run("run", "--manifest", manifest, "--", "true", cwd=checkout.repo.path, env=env)
        else:
            user.run("snapshot", "-o", manifest, *case.snapshot, cwd=checkout.repo.path, env=case.env)
        runner = machine(tmp_path / "runner", old, made)
        got = runner.run("fetch", "--json", *case.fetch, manifest, "code", check=False)
        if not case.fetched:
            assert got.status == 128 and got.errors.startswith("fatal: ")
            return
        document = load(manifest)
        if got.status != 0:
            assert "version" in got.errors, got.errors
            return
        assert got.json()["tree"] == document["code"]["snapshot"]["tree"]
        now = machine(tmp_path / "later runner", programs, made)
        now.run("fetch", *case.fetch, manifest, "code")
        assert everything(now.home / "code") == everything(runner.home / "code")
        runner.run("exec", manifest, "--", "true")
