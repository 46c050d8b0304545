"""The dark versions of the pictures that are written by hand: the same shapes in other colours.

python -m website.dark_pictures    write docs/images/NAME-dark.svg from NAME-light.svg
"""

from __future__ import annotations

from website.terminal_picture import IMAGES

COLOURS = {
    "#1f2328": "#e6edf3",
    "#57606a": "#9da7b3",
    "#f6f8fa": "#21262d",
    "#cfe2ff": "#143257",
    "#0550ae": "#79c0ff",
    "#ffe8b3": "#4d3800",
    "#7d4e00": "#e3b341",
}


def darkened(picture: str) -> str:
    """Return a picture with the colours of the dark theme."""
    for light, dark in COLOURS.items():
        picture = picture.replace(light, dark)
    return picture


def main() -> None:
    """Write the dark pictures."""
    for path in sorted(IMAGES.glob("*-light.svg")):
        if not path.name.startswith("terminal-"):
            made = darkened(path.read_text(encoding="utf-8"))
            path.with_name(path.name.replace("-light", "-dark")).write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
