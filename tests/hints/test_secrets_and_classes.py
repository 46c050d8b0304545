"""Each hint about secrets, files of credentials and classes of the user's own, typed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import git_coderepo
from tests.e2e.support import World, altered, load, world
from tests.hints import cures
from tests.hints.desk import Desk, hint, quoted
from tests.support.repo import Repo

pytestmark = pytest.mark.slow

KEYRING = {"PYTHON_KEYRING_BACKEND": "tests.support.keyring_backend.FileKeyring", "PYTHONPATH": os.getcwd()}
MINE = """
{imports}

class Mine({base}):
    def login(self): ...
    def download_files(self, commit, directory, repo_sub_directory): ...
    def get_local_context(self, path): ...
"""


@pytest.fixture
def desk(repo: Repo, tmp_path: Path) -> Desk:
    """A checkout whose remote is on a host that nothing knows; the files `token` and `other` hold secrets."""
    repo.write("train.py", "lr = 0.1\n")
    repo.commit()
    repo.git("remote", "add", "origin", "https://git.corp/acme/widgets.git")
    for name in ("token", "other"):
        (tmp_path / name).write_text(f"hunter2 {name}\n")
    desk = Desk.of(repo)
    desk.env.update(KEYRING)
    return desk


# --- named secrets ----------------------------------------------------------------------------------------


@cures("use letters, digits, '_' and '-' only")
def test_what_is_no_name_of_a_secret(desk: Desk, tmp_path: Path) -> None:
    (given,) = desk.refused("secret", "set", "a.b", f"--key=@{tmp_path}/token", says="invalid secret name 'a.b.key'")
    assert given == "use letters, digits, '_' and '-' only"
    desk.run("secret", "set", "a_b-1", f"--key=@{tmp_path}/token")


@cures("git coderepo secret set {name} --KEY=@FILE")
def test_a_secret_without_a_value(desk: Desk, tmp_path: Path) -> None:
    (typed,) = desk.refused("secret", "set", "corp", says="the secret 'corp' requires a value")
    desk.types(typed.replace("--KEY", "--key").replace("FILE", f"{tmp_path}/token"))
    assert "{{corp.key}}" in desk.run("secret", "list").text


@cures("git coderepo secret list")
def test_a_secret_to_remove_that_is_not_there(desk: Desk, tmp_path: Path) -> None:
    desk.run("secret", "set", "corp", f"--key=@{tmp_path}/token")
    (typed,) = desk.refused("secret", "remove", "corpp", says="secret not found: 'corpp'")
    assert "{{corp.key}}" in desk.types(typed).text
    desk.run("secret", "remove", "corp")


@cures("git coderepo secret set {name} --{key}=@FILE")
def test_a_reference_to_a_secret_that_is_not_there(desk: Desk, tmp_path: Path) -> None:
    desk.types("git remote set-url origin https://github.com/acme/widgets.git")
    desk.run("register", "--no-verify", "--token={{corp.pat}}")
    hints = desk.refused("register", "x", "--token={{corp.pat}}", says="secret 'corp.pat' not found")
    typed = hint(hints, "git coderepo secret set")
    desk.types(typed.replace("FILE", str(tmp_path / "token")))
    assert "unknown host name" in desk.run("register", "x", "--token={{corp.pat}}", check=False).errors


@cures("echo {shell_word(f'{words} @{place}')} >>{file}", "git config --global coderepo.credentialsFile {file}")
def test_a_secret_without_a_keyring(desk: Desk, tmp_path: Path) -> None:
    del desk.env["PYTHON_KEYRING_BACKEND"]
    desk.env["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    hints = desk.refused("secret", "set", "corp", f"--pat=@{tmp_path}/token", says="no keyring on this machine")
    assert len(hints) == 2
    for typed in hints:
        desk.types(typed)
    assert "corp" in desk.run("secret", "list").text
    (again,) = desk.refused("secret", "set", "corp", f"--other=@{tmp_path}/other", says="no keyring on this machine")
    desk.types(again)
    assert "other" in desk.run("secret", "list").text


@cures(
    "choose another keyring: PYTHON_KEYRING_BACKEND=MODULE.CLASS (python -m keyring --list-backends)",
    "unlock the keyring",
)
def test_a_keyring_that_is_not_there_or_locked(desk: Desk, tmp_path: Path) -> None:
    desk.run("secret", "set", "corp", f"--pat=@{tmp_path}/token")
    locked = Path(desk.env["HOME"]) / "keyring.locked"
    locked.touch()
    assert desk.refused("secret", "remove", "corp", says="the keyring is locked") == ["unlock the keyring"]
    locked.unlink()
    desk.env["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    (given,) = desk.refused("secret", "remove", "corp", says="no keyring on this machine")
    command = given.partition("(")[2].removesuffix(")")
    assert "backends" in desk.types(command.replace("python ", f"'{sys.executable}' ")).text
    variable = given.partition(": ")[2].partition("=")[0]
    desk.types(f"{variable}=tests.support.keyring_backend.FileKeyring git coderepo secret remove corp")


# --- the environment and files of credentials --------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A private repository and a runner without a keyring."""
    with world(tmp_path_factory.mktemp("git"), "git") as made:
        made.manifest()
        yield made


@pytest.fixture
def runner(place: World, tmp_path: Path) -> Desk:
    desk = Desk(tmp_path, {**place.runner.env, "CODEREPO_TOKEN": "", "CODEREPO_TOKEN_ORIGIN": ""})
    (tmp_path / "run.json").write_bytes((place.runner.home / "run.json").read_bytes())
    (tmp_path / "token").write_text(place.token)
    return desk


FETCH = ("fetch", "run.json", "code")


@cures("export {_TOKEN_ORIGIN}={origin}", "unset {_TOKEN}")
@pytest.mark.parametrize("origin", ["", "no origin"])
def test_a_token_without_its_origin_and_two_tokens(runner: Desk, place: World, origin: str) -> None:
    runner.env.update(CODEREPO_TOKEN=place.token, CODEREPO_TOKEN_ORIGIN=origin)
    export = hint(runner.refused(*FETCH, says="'CODEREPO_TOKEN"), "export")
    runner.env["CODEREPO_TOKEN_FILE"] = str(runner.here / "token")
    unset = hint(runner.refused(*FETCH, says="are mutually exclusive"), "unset")
    runner.types(f"{unset}; {export}; git coderepo fetch run.json code")


@cures(
    "write each line as https://HOST[/PREFIX] USER @/path/to/token, or as git-credential-store does",
    "save it as UTF-8",
)
def test_a_file_of_credentials(runner: Desk, place: World) -> None:
    file = runner.here / "credentials"
    runner.env["CODEREPO_CREDENTIALS_FILE"] = str(file)
    host = place.forge.url.partition("://")[2]
    file.write_text(f"{place.token}\n")
    given = hint(runner.refused(*FETCH, says="line 1 of"), "write each line as ")
    line = given.removeprefix("write each line as ").partition(", or")[0].replace("[/PREFIX]", "/acme")
    line = line.replace("HOST", host).replace("USER", "ada").replace("/path/to", str(runner.here))
    file.write_text(f"{line}\n", encoding="utf-16")
    assert runner.refused(*FETCH, says="UTF-16 is not supported") == ["save it as UTF-8"]
    file.write_text(f"{line}\n")
    runner.run("fetch", "run.json", "one")
    file.unlink()
    login = f"protocol=https\nhost={host}\nusername=ada\npassword={place.token}\n"
    runner.types(f"git credential-store --file '{file}' store", input=login.encode())
    runner.run("fetch", "run.json", "two")


# --- classes ------------------------------------------------------------------------------------------------


def write(desk: Desk, name: str, imports: str, base: str = "BaseCodeRepository") -> None:
    (desk.here / f"{name}.py").write_text(MINE.format(imports=imports, base=base))


@cures(
    "name its class: --source my_module.MyRepositoryClass",
    "write it as my_module.MyRepositoryClass",
    "did you mean '{module_name}.{near[0]}'?",
    "choose one of: {', '.join(platform_types())}",
)
def test_a_class_that_is_not_named_as_it_should_be(desk: Desk) -> None:
    write(desk, "mine", "from git_coderepo import BaseCodeRepository")
    (kinds,) = desk.refused("register", "x", "--type=zzzz", says="'zzzz' is not a type")
    assert kinds.endswith(", custom")
    (flag,) = desk.refused("register", "x", "--type=custom", says="requires its class")
    flag = flag.split()[-2]
    (form,) = desk.refused("register", "x", flag, "no class", says="'no class' is not the name of a class")
    assert form.split()[-1].count(".") == 1
    (near,) = desk.refused("register", "x", flag, "mine.Mien", says="'mine' has no class 'Mien'")
    desk.run("register", "x", flag, quoted(near))


@cures("install the module beside git-coderepo, or put its directory on PYTHONPATH")
def test_a_module_that_is_not_found(desk: Desk, tmp_path: Path) -> None:
    write(desk, "elsewhere", "from git_coderepo import BaseCodeRepository")
    (tmp_path / "modules").mkdir()
    (desk.here / "elsewhere.py").rename(tmp_path / "modules" / "elsewhere.py")
    (given,) = desk.refused("register", "x", "--source=elsewhere.Mine", says="cannot import 'elsewhere'")
    desk.env[given.split()[-1]] += f":{tmp_path}/modules"
    desk.run("register", "x", "--source=elsewhere.Mine")


@cures(
    "derive it from the base class: from git_coderepo import BaseCodeRepository",
    "if it was written for ZenML: from git_coderepo.compat import BaseCodeRepository",
)
@pytest.mark.parametrize("follow", ["derive", "if it was written"])
def test_a_class_without_the_base_class(desk: Desk, follow: str) -> None:
    write(desk, "mine", "", "object")
    hints = desk.refused("register", "x", "--source=mine.Mine", says="is not a subclass of BaseCodeRepository")
    write(desk, "mine", hint(hints, follow).partition(": ")[2])
    desk.run("register", "x", "--source=mine.Mine")


@cures("use letters, digits, '_' and '-' in the name of an option")
def test_an_option_that_no_class_can_have(desk: Desk) -> None:
    write(desk, "mine", "from git_coderepo import BaseCodeRepository")
    words = ("register", "--no-verify", "x", "--source=mine.Mine")
    desk.refused(*words, "--a.b=c", says="unknown option '--a.b'")
    desk.run(*words, "--a-b=c")


@cures("git coderepo secret set NAME --{name}=-", "use --{name}='{{NAME.{name}}}' instead of the secret itself")
def test_a_secret_that_belongs_to_no_place(desk: Desk, tmp_path: Path) -> None:
    desk.types("git remote remove origin")
    write(desk, "mine", "from git_coderepo import BaseCodeRepository")
    words = ("register", "--no-verify", "x", "--source=mine.Mine")
    says = "cannot store the secret option 'token'"
    keep, give = desk.refused(*words, f"--token=@{tmp_path}/token", says=says)
    desk.types(f"{keep.replace('NAME', 'corp')} <'{tmp_path}/token'")
    desk.types(f"git coderepo {' '.join(words)} {give.split()[1].replace('NAME', 'corp')}")
    assert "{{corp.token}}" in (desk.here / ".git" / "config").read_text()


@cures("omit --{name}, and add its value to the file that CODEREPO_CREDENTIALS_FILE names:")
def test_a_token_to_register_with_where_there_is_no_keyring(desk: Desk, tmp_path: Path) -> None:
    desk.env["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    words = ("register", "--no-verify", "--type=gitlab", "--token")
    omit, *typed = desk.refused(*words, f"@{tmp_path}/token", says="no keyring on this machine")
    assert omit.startswith("omit --token")
    for each in typed:
        desk.types(each.replace("/path/to/secret", f"{tmp_path}/token"))
    desk.run(*words[:-1])
    assert "CODEREPO_CREDENTIALS_FILE" in desk.run("describe", "origin").text


def own_environment(place: Path) -> Path:
    """Make a virtual environment that has the program and what is installed here; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True, timeout=120)
    (packages,) = place.glob("lib/*/site-packages")
    directories = [os.path.dirname(os.path.dirname(git_coderepo.__file__)), sysconfig.get_path("purelib")]
    (packages / "ours.pth").write_text("".join(f"{each}\n" for each in directories))
    program = place / "bin" / "git-coderepo"
    program.write_text(f"#!{place}/bin/python\nimport sys\nfrom git_coderepo.__main__ import main\nsys.exit(main())\n")
    program.chmod(0o755)
    return place / "bin" / "python"


@cures(
    "if you trust it: export {variable_of('allowSource')}={dotted}",
    "install it with pip, since a runner imports nothing from elsewhere",
)
def test_a_class_that_a_manifest_names(place: World, runner: Desk, tmp_path: Path) -> None:
    """The class fetches nothing here: what is left is that it is asked, and says so."""
    name = f"hinted_{os.getpid()}"
    code = "from git_coderepo import BaseCodeRepository\n\nclass Mine(BaseCodeRepository):\n    def login(self): ...\n"
    code += "    def download_files(self, *_): raise RuntimeError('it was asked')\n"
    code += "    def get_local_context(self, _): ...\n"
    wheel = tmp_path / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as made:
        made.writestr(f"{name}.py", code)
        made.writestr(f"{name}-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        made.writestr(f"{name}-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr(f"{name}-1.dist-info/RECORD", "")
    document = {**load(runner.here / "run.json")["repository"], "type": "custom", "source": f"{name}.Mine"}
    altered(runner.here / "run.json", "repository", to=document, name="custom.json")
    words = ("fetch", "custom.json", "code")
    export = hint(runner.refused(*words, says="which is not allowed here"), "if you trust it").partition(": ")[2]
    variable, _, value = export.partition(" ")[2].partition("=")
    runner.env[variable] = value
    hint(runner.refused(*words, says=f"'{name}' is not an installed package"), "install it with pip")
    # Into an environment of this test's own: the tests that run meanwhile record what is installed in ours.
    python = own_environment(tmp_path / "installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    (packages,) = (tmp_path / "installed").glob("lib/*/site-packages")
    subprocess.run([*pip, "--target", packages, wheel], check=True, env=runner.env)
    runner.env["PATH"] = f"{python.parent}{os.pathsep}{runner.env['PATH']}"
    runner.refused(*words, says="it was asked")
