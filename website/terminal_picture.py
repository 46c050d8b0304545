"""The pictures of a terminal in the README, drawn from what the program prints in a temporary checkout.

python -m website.terminal_picture    write docs/images/terminal-light.svg and terminal-dark.svg
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

from website.sandbox import Sandbox

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COLUMNS = 96

# What a user has before the first command: a checkout whose last commit is on a platform, and two edits since.
PREPARE = """\
git init -q widgets && cd widgets
printf 'rate = 0.1\\nprint("loss 0.25")\\n' > train.py
echo '# Widgets' > README.md
git add . && git commit -qm 'Train a model'
git remote add origin https://github.com/acme/widgets.git
git update-ref refs/remotes/origin/main HEAD
git branch -q --set-upstream-to=origin/main
printf 'rate = 0.3\\nprint("loss 0.21")\\n' > train.py
echo 'try a higher rate' > notes.txt
"""
COMMANDS = (
    "git status --short",
    "git coderepo run -- python train.py",
    "git coderepo log",
    "git coderepo fetch @{-1} ../code",
    "git coderepo verify @{-1} ../code",
)


class Line(NamedTuple):
    """A line on the terminal: a typed command, or what a program printed, with escape sequences for colours."""

    text: str
    typed: bool = False


class Theme(NamedTuple):
    """The colours of a picture; `sgr` has the colours of the codes that the program and git print."""

    name: str
    background: str
    bar: str
    text: str
    prompt: str
    sgr: dict[str, str]


_LIGHT = {"31": "#b31d28", "32": "#116329", "33": "#7d4e00", "2": "#57606a"}
_DARK = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "2": "#9da7b3"}
THEMES = (
    Theme("light", "#ffffff", "#eaeef2", "#1f2328", "#0550ae", _LIGHT),
    Theme("dark", "#0d1117", "#21262d", "#e6edf3", "#79c0ff", _DARK),
)
_FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"


def transcript() -> list[Line]:
    """Run the commands, and return what the terminal shows."""
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as directory:
        sandbox = Sandbox(Path(directory) / "home", colour=True)
        for command in (PREPARE.strip(), *COMMANDS):
            done = sandbox.run(command)
            if done.status != 0:
                raise RuntimeError(done.text)
            if command in COMMANDS:
                lines += [Line(command, typed=True), *map(Line, done.text.splitlines()), Line("")]
    return lines[:-1]


def wrapped(line: Line) -> Iterator[Line]:
    """Return a line in parts of at most `COLUMNS` characters; a line that is cut loses its colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", line.text)
    if len(plain) <= COLUMNS:
        yield line
        return
    for start in range(0, len(plain), COLUMNS):
        yield Line(plain[start : start + COLUMNS], line.typed and start == 0)


def drawn(lines: list[Line], theme: Theme) -> str:
    """Return the picture as SVG, without scripts, fonts or anything else from elsewhere."""
    lines = [part for line in lines for part in wrapped(line)]
    step, left, top, size = 20, 18, 58, 14
    width, height = round(2 * left + COLUMNS * 8.43), top + step * len(lines)
    label = (
        "A terminal: a run is recorded with uncommitted changes, listed, fetched into another directory and verified"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{label}">',
        f'<rect width="{width}" height="{height}" rx="8" fill="{theme.background}" stroke="{theme.bar}"/>',
        f'<path d="M0 34V8a8 8 0 0 1 8-8h{width - 16}a8 8 0 0 1 8 8v26z" fill="{theme.bar}"/>',
        *(
            f'<circle cx="{x}" cy="17" r="6" fill="{theme.sgr[code]}"/>'
            for x, code in ((20, "31"), (40, "33"), (60, "32"))
        ),
        f'<g font-family="{_FONT}" font-size="{size}" fill="{theme.text}">',
    ]
    for number, line in enumerate(lines):
        if line.text:
            parts.append(f'<text x="{left}" y="{top + step * number}">{"".join(_spans(line, theme))}</text>')
    return "\n".join([*parts, "</g>", "</svg>"]) + "\n"


def _spans(line: Line, theme: Theme) -> Iterator[str]:
    if line.typed:
        command = escape(line.text, quote=False)
        yield f'<tspan fill="{theme.prompt}">$ </tspan><tspan font-weight="bold">{command}</tspan>'
        return
    style = ""
    for part in re.split(r"(\x1b\[[0-9;]*m)", line.text):
        if part.startswith("\x1b["):
            codes = part[2:-1].split(";")
            colours = [f' fill="{theme.sgr[code]}"' for code in codes if code in theme.sgr]
            style = "".join(colours) + (' font-weight="bold"' if "1" in codes else "")
        elif part:
            text = escape(part, quote=False).replace(" ", "\u00a0")  # spaces at the start of a line would be lost
            yield f"<tspan{style}>{text}</tspan>" if style else text


def path(theme: Theme) -> Path:
    """Return where the picture of a theme is."""
    return IMAGES / f"terminal-{theme.name}.svg"


def main() -> None:
    """Write the pictures."""
    lines = transcript()
    for theme in THEMES:
        path(theme).write_text(drawn(lines, theme), encoding="utf-8")


if __name__ == "__main__":
    main()
