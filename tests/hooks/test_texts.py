"""The texts of the hooks, and how a block gets into a script and out again."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import git_coderepo
from git_coderepo.hooks import scripts as texts

FOLDER = Path(git_coderepo.__file__).parent.parent / "hooks"
AFTER = ("post-commit", "post-checkout", "post-merge", "post-rewrite")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_no_fault_in_the_texts() -> None:
    done = subprocess.run(
        ["shellcheck", *sorted(FOLDER.iterdir())], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


@pytest.mark.parametrize("name", [*texts.EVENTS, "post-commit-snapshot"])
def test_a_text_is_an_executable_script_with_one_block_and_nothing_else(name: str) -> None:
    path = FOLDER / name
    script = path.read_bytes()
    event = name.removesuffix("-snapshot")
    block = texts.find(script, event)
    assert block is not None
    assert script == texts.SHEBANG + block.text + b"\n"
    assert path.stat().st_mode & 0o111
    assert max(map(len, script.splitlines())) <= 120


def test_the_hooks_of_git_do_the_same_and_start_neither_python_nor_git() -> None:
    bodies = set()
    for event in AFTER:
        lines = (FOLDER / event).read_text().splitlines()
        code = "\n".join(line for line in lines if not line.startswith("#"))
        assert not re.search(r"\b(python|git-coderepo|git)\b(?!\))", re.sub(r"\.git\b|gitdir", "", code))
        bodies.add(code)
    assert len(bodies) == 1


# Scripts as other people write them: with and without a first line and a last newline, with bytes that are no text.
lines = st.sampled_from((b"", b"exit 0", b"exec true", b"echo hello", b"\xff\xfe", b"# comment", b"set -eu", b"\r"))
scripts = st.builds(
    lambda first, rest, end: first + b"\n".join(rest) + end,
    st.sampled_from((b"", b"#!/bin/sh\n", b"#!/usr/bin/env bash\n", b"#!/bin/bash -e\n", b"#!/bin/sh")),
    st.lists(lines, max_size=6),
    st.sampled_from((b"", b"\n", b"\n\n")),
)


@pytest.mark.slow
@given(scripts, st.sampled_from(texts.EVENTS))
def test_what_is_put_in_comes_out_again_byte_for_byte(script: bytes, event: str) -> None:
    block = texts.block(event, b"/opt/it's here/git-coderepo", snapshot=False).of_kind(texts.BLOCK)
    there = texts.put(script, block)
    found = texts.find(there, event)
    assert found is not None and found.text == block.text
    assert texts.put(there, block) == there, "twice is once"
    assert texts.remove(there, found) == script


@given(scripts)
def test_blocks_of_several_events_in_one_script_do_not_get_in_each_others_way(script: bytes) -> None:
    first = texts.block("post-commit", b"/p/git-coderepo", snapshot=False).of_kind(texts.BLOCK)
    second = texts.block("post-merge", b"/p/git-coderepo", snapshot=False).of_kind(texts.BLOCK)
    there = texts.put(texts.put(script, first), second)
    for event in ("post-merge", "post-commit"):
        found = texts.find(there, event)
        assert found is not None
        there = texts.remove(there, found)
    assert there == script


def test_an_older_text_is_replaced_where_it_stands() -> None:
    new = texts.block("post-merge", b"/p/git-coderepo", snapshot=False)
    old = new.text.replace(b"reads nothing", b"reads little")
    script = b"#!/bin/sh\n# mine\n" + old + b"\necho more\n"
    assert texts.put(script, new) == b"#!/bin/sh\n# mine\n" + new.text + b"\necho more\n"


@pytest.mark.parametrize("path", [b"/opt/a b/git-coderepo", b"/it's/git-coderepo", b'/$HOME/`x`/"q"/\xff/git-coderepo'])
def test_the_program_is_quoted_for_the_shell(path: bytes, tmp_path: Path) -> None:
    block = texts.block("pre-run", path, snapshot=False)
    assert block.program == path
    lines = [line for line in block.text.split(b"\n") if line.strip().startswith(b"for coderepo_program")]
    script = lines[0] + b' printf %s "$coderepo_program"; exit; done'
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True, timeout=60)
    assert done.stdout == path


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        (b"#!/bin/sh\n", True),
        (b"#!/bin/bash -eu\nexit\n", True),
        (b"#! /usr/bin/env bash\n", True),
        (b"#!/usr/bin/env -S bash -e\n", True),
        (b"#!/usr/bin/env -i A=b sh\n", True),
        (b"#!/usr/bin/dash", True),
        (b"echo no first line\n", True),
        (b"", True),
        (b"#!/usr/bin/env python3\n", False),
        (b"#!/usr/bin/perl -w\n", False),
        (b"#!/usr/bin/fish\n", False),
        (b"#!/bin/zsh\n", False),
        (b"#!\n", False),
        (b"\x7fELF\x02\x01\x01\0\0", False),
    ],
)
def test_which_scripts_are_sh_or_bash(script: bytes, answer: bool) -> None:
    assert texts.is_shell(script) is answer
