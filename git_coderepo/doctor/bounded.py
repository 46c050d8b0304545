"""Wait only so long: for git, by ending it, and for anything else by leaving its thread behind.

A keyring may wait for a person, a network file system for its server, and neither can be interrupted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from time import monotonic
from typing import TypeVar

from git_coderepo.crash_report import report_crash
from git_coderepo.errors import CodeRepoError, NoAnswer
from git_coderepo.git.process import Git

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


def bounded_git(git: Git, seconds: float) -> Git:
    """Return git whose commands raise NoAnswer after so many seconds, and never prompt."""
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GCM_INTERACTIVE": "never", "GIT_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never"}
    return git.within(seconds).with_environment(**quiet)


def gather(questions: Mapping[Key, Callable[[], Result]], seconds: float) -> dict[Key, Result | CodeRepoError]:
    """Answer all questions at once; the answer is NoAnswer for one that takes longer than `seconds`.

    Otherwise it is what the function returns, or the error that it raises; a bug in it leaves a crash report.
    """
    answers: dict[Key, Result | CodeRepoError] = {}

    def answer(key: Key, question: Callable[[], Result]) -> None:
        try:
            answers[key] = question()
        except CodeRepoError as error:
            answers[key] = error
        except OSError as error:
            answers[key] = CodeRepoError((error.strerror or str(error)).lower())
        except Exception as error:
            answers[key] = report_crash(error, ["doctor"])

    threads = {
        key: threading.Thread(target=answer, args=(key, question), daemon=True) for key, question in questions.items()
    }
    for thread in threads.values():
        thread.start()
    end = monotonic() + seconds
    for thread in threads.values():
        thread.join(max(0.0, end - monotonic()))
    late = NoAnswer(f"no answer within {seconds:g} s")
    return {key: answers.get(key, late) for key in threads}


def within(seconds: float, question: Callable[[], Result]) -> Result:
    """Return the answer to one question. Raises NoAnswer, and the CodeRepoErrors that it raises."""
    answer = gather({"": question}, seconds)[""]
    if isinstance(answer, CodeRepoError):
        raise answer
    return answer
