"""One zip file that Python runs: the package as its wheel has it, and the pure part of what a runner needs of others.

https://docs.python.org/3/library/zipapp.html. The same sources give the same bytes: what others wrote comes in the
releases that `requirements.lock` names, and pip refuses a wheel with another hash.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import BytesHeaderParser
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).parents[1]
LOCK = Path(__file__).with_name("requirements.lock")

# What fetch, exec, verify and validate load. The range of a release is what the package itself asks for.
TAKEN = (
    "annotated-doc", "certifi", "charset-normalizer", "idna", "platformdirs", "requests", "shellingham", "tomli",
    "typer", "urllib3",
)  # fmt: skip
# Whoever builds, the pure wheel for the oldest Python is taken: a compiled one would not match its hash.
_QUIET = ("--quiet", "--disable-pip-version-check", "--no-deps")
_PURE = (
    "--only-binary=:all:", "--platform", "any", "--implementation", "py", "--abi", "none", "--python-version", "3.10",
)  # fmt: skip
# What they would like to have, and what a machine without a person, a keyring and a checkout does without.
LEFT_OUT = ("gitpython", "keyring", "rich")
OLDEST, NEWEST = (3, 10), (3, 15)

_FIRST_LINE = b"#!/usr/bin/env python3\n"
# Any Python must be able to read this one, to say that it is too old.
_MAIN = """\
import sys

if sys.version_info < (3, 10):
    sys.stderr.write("fatal: git coderepo needs Python 3.10 or later, this is %d.%d\\n" % sys.version_info[:2])
    sys.exit(128)

from start import start

start(sys.path[0])
"""
START = Path(__file__).with_name("start.py")
# requests asks for the path of certifi's file as it is imported, which inside a zip unpacks it into a temporary
# file. It says itself that who packages it may change this; ours never comes to use: each request names its file.
_CERTS = '''\
"""Where certificate authorities are: `git_coderepo.transport.http` says so for each request."""


def where() -> str:
    return "certificate authorities that no request has named"
'''
# Of what pip writes beside a package, its name and licence travel; how and where it was installed does not.
_BESIDE = re.compile(r"^[^/]+[.]dist-info/(?!METADATA$|licenses/|LICEN[CS]E|COPYING|NOTICE)")
_NATIVE = (".so", ".pyd", ".dylib", ".dll", ".pyc", ".a", ".o")


def build(target: Path, scratch: Path) -> None:
    """Write the file `target`, executable; `scratch` is an empty directory for what comes in between.

    Raises SystemExit where pip fails, or where a release needs something that is neither taken nor left out.
    """
    wheels, tree = scratch / "wheels", scratch / "tree"
    _run("-m", "pip", "wheel", *_QUIET, "--no-build-isolation", "--wheel-dir", wheels, ROOT)
    (own,) = wheels.glob("*.whl")
    check_lock(LOCK.read_text(encoding="utf-8"))
    install = ("-m", "pip", "install", *_QUIET, "--no-compile", *_PURE, "--target", tree)
    _run(*install, "--require-hashes", "--requirement", LOCK)
    _run(*install, "--no-index", own)
    _check_closed(tree)
    contents = dict(_contents(tree))
    contents["__main__.py"] = _MAIN.encode()
    contents[START.name] = START.read_bytes()
    contents["requests/certs.py"] = _CERTS.encode()
    _write(target, contents)


def lock(scratch: Path) -> str:
    """Return a new text for `requirements.lock`: the newest release of each package, with its pure wheel's sha256.

    `scratch` is an empty directory. Raises SystemExit where pip fails.
    """
    _run("-m", "pip", "download", *_QUIET, *_PURE, "--dest", scratch, *_ranges())
    lines = []
    for wheel in sorted(scratch.glob("*.whl")):
        name, version, *_ = parse_wheel_filename(wheel.name)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines.append(f"{name}=={version} --hash=sha256:{digest}\n")
    return "# What goes into git-coderepo.pyz; written by `python -m pyz --lock`.\n" + "".join(lines)


def check_lock(text: str) -> None:
    """Raise SystemExit unless the lock names each package to be taken once, in a release that the project accepts."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            words, _, digest = line.partition(" --hash=sha256:")
            name, _, version = words.partition("==")
            if name in found or re.fullmatch("[0-9a-f]{64}", digest) is None:
                raise SystemExit(f"invalid line in {LOCK.name}: '{line}'")
            found[name] = version
    if sorted(found) != sorted(TAKEN):
        raise SystemExit(f"{LOCK.name} is out of date: run python -m pyz --lock")
    for asked in map(Requirement, _ranges()):
        if not asked.specifier.contains(found[asked.name]):
            raise SystemExit(f"{LOCK.name} has {asked.name} {found[asked.name]}, not {asked}: run python -m pyz --lock")


def _ranges() -> list[str]:
    """Each package to be taken, with the range of releases that the project asks for, if it names it."""
    asked = {canonicalize_name(each.name): each for each in map(Requirement, requires("git-coderepo") or ())}
    unknown = {name for name, each in asked.items() if not (each.marker and "extra" in str(each.marker))}
    unknown -= {*TAKEN, *LEFT_OUT}
    if unknown:
        raise SystemExit(f"neither taken nor left out: {', '.join(sorted(unknown))} (see pyz/build.py)")
    return [f"{name}{asked[canonicalize_name(name)].specifier if name in asked else ''}" for name in TAKEN]


def _check_closed(tree: Path) -> None:
    """Whatever a package in the tree asks for, on any Python that can run it, is taken or left out on purpose."""
    known = {*TAKEN, *LEFT_OUT, "git-coderepo"}
    for metadata in sorted(tree.glob("*.dist-info/METADATA")):
        fields = BytesHeaderParser().parsebytes(metadata.read_bytes())
        for text in fields.get_all("Requires-Dist") or ():
            needed = Requirement(text)
            if canonicalize_name(needed.name) not in known and _counts(needed):
                raise SystemExit(f"{fields['Name']} needs '{text}': take it or leave it out (see pyz/build.py)")


def _counts(needed: Requirement) -> bool:
    """Whether it is asked for without extras, on Linux or macOS, by one of the Pythons that may run it."""
    if needed.marker is None:
        return True
    return any(
        needed.marker.evaluate(
            {
                "extra": "",
                "python_version": f"{OLDEST[0]}.{minor}",
                "python_full_version": f"{OLDEST[0]}.{minor}.0",
                "sys_platform": system.lower(),
                "platform_system": system,
            }
        )
        for minor in range(OLDEST[1], NEWEST[1] + 1)
        for system in ("Linux", "Darwin")
    )


def _contents(tree: Path) -> Iterator[tuple[str, bytes]]:
    for folder, folders, names in os.walk(tree):
        folders[:] = sorted(name for name in folders if name not in ("__pycache__", "bin"))
        for name in names:
            path = Path(folder, name)
            inside = path.relative_to(tree).as_posix()
            if name.endswith(_NATIVE):
                raise SystemExit(f"'{inside}' is compiled: it cannot run everywhere")
            if inside.startswith("share/") or name == "py.typed" or _BESIDE.match(inside):
                continue
            yield inside, path.read_bytes()


def _write(target: Path, contents: dict[str, bytes]) -> None:
    """The zip file behind its first line; sorted, and without a time or an owner of its own."""
    made = target.with_name(target.name + ".new")
    with open(made, "wb") as file:
        file.write(_FIRST_LINE)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name, data in sorted(contents.items()):
                entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
                entry.create_system = 3  # Unix
                entry.external_attr = 0o100644 << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, data)
    made.chmod(0o755)
    made.replace(target)


def _run(*words: str | Path) -> None:
    done = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stdout.decode(errors="replace"))
