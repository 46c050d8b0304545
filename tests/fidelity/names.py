"""Names: any bytes but NUL and `/`."""

from __future__ import annotations

import os
import unicodedata

from tests.fidelity.case import Stage, Wanted, case

GROUP = "Names"
CONTENTS = b"lr = 0.1\n"


def with_names(stage: Stage, *names: bytes) -> Wanted:
    """Half of the names on the platform, the other half untracked; of both, one is edited and one a link's target."""
    pushed, here = names[::2], names[1::2]
    place = stage.world(files={b"pushed/" + name: name for name in pushed} | {b"README": CONTENTS})
    repo = place.checkout
    for name in here:
        repo.write(b"here/" + name, name)
    repo.write(b"pushed/" + pushed[-1], b"edited\n")
    repo.symlink("link", b"pushed/" + pushed[0])
    repo.symlink(b"links/" + (here or pushed)[-1], b"../here/" + (here or pushed)[-1])
    os.chmod(repo.file(b"pushed/" + pushed[0]), 0o755)
    if len(pushed) > 2:
        repo.remove(b"pushed/" + pushed[1])
    return Wanted(place, repo)


@case(GROUP, "every byte but NUL and /")
def every_byte(stage: Stage) -> Wanted:
    single = [bytes((byte,)) for byte in range(1, 256) if byte not in b"/."]
    return with_names(stage, *single, *(b"x" + byte + b"y" for byte in single))


@case(GROUP, "not UTF-8")
def not_utf8(stage: Stage) -> Wanted:
    return with_names(stage, b"caf\xe9", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80")


@case(GROUP, "spaces, line breaks, quotes, a leading -")
def for_shells(stage: Stage) -> Wanted:
    return with_names(
        stage, b" ", b"-rf", b"--", b"a b", b"two\nlines", b"\n", b"\r\n", b"\t", b"'", b'"', b"\\", b"$(id)", b"`id`",
        b"#", b"!", b":", b":(top)", b"*", b"?", b"[a]", b"~", b"...", b".hidden", b"\x1b[31m", b"{{secret.key}}",
    )  # fmt: skip


@case(GROUP, "Unicode normalisation")
def normalisation(stage: Stage) -> Wanted:
    """One name in two forms is two files, and each comes back as it was."""
    word = "caf\u00e9 \u1e9b\u0323 \uac00 \u212b.txt"
    forms = {unicodedata.normalize(form, word).encode() for form in ("NFC", "NFD", "NFKC", "NFKD")} | {word.encode()}
    assert len(forms) == 5
    return with_names(stage, *sorted(forms), b"z")


@case(GROUP, "long names and deep paths")
def long_names(stage: Stage) -> Wanted:
    deep = b"/".join([b"d" * 40] * 40)
    return with_names(stage, b"n" * 255, b"\xe9" * 255, deep + b"/a", deep + b"/b", b"x" * 100, b"x" * 101, b"x" * 99)


@case(GROUP, "links: any target")
def targets(stage: Stage) -> Wanted:
    place = stage.world(files={"README": CONTENTS})
    repo = place.checkout
    for number, target in enumerate(
        (
            b"README",
            b"no/such/place",
            b"/etc/passwd",
            b"../../../out",
            b".",
            b"\xff\xfe",
            b"two\nlines",
            b"t" * 4000,
            b" ",
        )
    ):
        repo.symlink(f"link {number}", target)
    repo.symlink("loop", "loop")
    return Wanted(place, repo)
