"""`git coderepo register` on a terminal asks for what it cannot know; in a script it fails as before."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.support import PROJECT, world
from tests.support.keyring_backend import NAME
from tests.support.terminal import on_terminal


def test_a_terminal_is_asked_for_a_token_where_none_works(tmp_path: Path) -> None:
    with world(tmp_path, "github") as place:
        program, cwd = place.user.program, place.checkout.path
        for name in ("CODEREPO_TOKEN", "CODEREPO_TOKEN_ORIGIN"):
            program.env.pop(name, None)
        program.env.update(PYTHON_KEYRING_BACKEND=NAME, PYTHONPATH=str(PROJECT))
        refused = program.run("register", cwd=cwd, check=False)
        assert refused.status != 0 and "create a token at" in refused.errors
        for answer in ("", "\x04"):  # ^D
            status, shown = on_terminal(program, "register", cwd=cwd, answers={"to give up): ": answer})
            assert status == refused.status and "create a token at https://" in shown and "bug" not in shown, shown
        status, shown = on_terminal(program, "register", cwd=cwd, answers={"to give up): ": place.token})
        assert status == 0 and "registered 'origin': github" in shown and place.token not in shown, shown
        assert "already registered: 'origin'" in program.run("register", cwd=cwd).text


def test_a_terminal_is_asked_for_the_platform_of_an_unknown_host(tmp_path: Path) -> None:
    with world(tmp_path, "git") as place:
        answers = {"[git]": "gitgub", "a type of code repository": "git"}
        status, shown = on_terminal(place.user.program, "register", cwd=place.checkout.path, answers=answers)
        assert status == 0 and "which platform is 127.0.0.1?" in shown and "registered 'origin': git" in shown, shown
