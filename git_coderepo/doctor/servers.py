"""Checks of the way to the servers: credentials, keyring, remotes, the clock, proxies and certificates."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial

from git_coderepo.credentials.keyring import LIST
from git_coderepo.doctor.answers import Known, PlatformAnswer
from git_coderepo.doctor.finding import CheckResult, from_error, note, ok, problem
from git_coderepo.doctor.place import CheckedRepository
from git_coderepo.errors import CodeRepoError, CredentialError, NoAnswer
from git_coderepo.git.process import shell_word
from git_coderepo.git.pushed_commits import tracking_arguments
from git_coderepo.git.url.remote import Origin, push_differs
from git_coderepo.platforms.hosted import TokenFacts
from git_coderepo.plural import count
from git_coderepo.transport.http_failures import proxy_shown
from git_coderepo.transport.proxy import CA_VARIABLES, NetworkSettings

_USUAL = "https://github.com"
_DAY = 24 * 3600
# The hints of errors that another URL of the remote may cure.
_WRONG_PLACE = ("check the spelling", "check the host", "check the URL of the remote")
# Seconds. Signed requests fail if the clock is off by 15 minutes (S3), and new certificates even earlier.
_CLOCK_NOTE, _CLOCK_PROBLEM = 30, 300


# --- credentials ---


def keyring(known: Known) -> Iterator[CheckResult]:
    """Check that the keyring can be read; without entries in it, none is needed."""
    answer = known.answers.keyring
    entries = known.place.settings.configured(LIST)
    if not isinstance(answer, CodeRepoError):
        yield ok(f"usable, {count(answer, 'token')}")
    elif not entries:
        yield note(f"{answer.message}; use CODEREPO_TOKEN_FILE or git's credential helpers instead")
    elif isinstance(answer, NoAnswer):
        yield problem(f"{answer.message}: it may wait for you to unlock it", "unlock the keyring")
    else:
        words = f"{answer.message}, and {count(len(entries), 'token')} of 'coderepo.{LIST}' cannot be read"
        locked = "locked" in answer.message
        yield problem(words, answer.hints[0] if locked else f"git config --global --unset-all coderepo.{LIST}")


def credential(known: Known) -> Iterator[CheckResult]:
    """Check the credential of each host, for the checkout and its submodules."""
    seen = set()
    for part in known.place.parts:
        answer = known.answers.access.get(part.path)
        if answer is None:
            continue
        if isinstance(answer, CodeRepoError):
            finding = from_error(answer, otherwise="git coderepo list")
            yield finding._replace(detail=part.name + finding.detail)
            continue
        finding = _access(part, answer, known.now)
        # Several repositories of a host have the same credential: each sentence once.
        key = (str(answer.origin), finding.detail.removeprefix(part.name))
        if key not in seen:
            seen.add(key)
            yield finding


def _access(part: CheckedRepository, access: PlatformAnswer, now: float) -> CheckResult:
    host = str(access.origin).removeprefix("https://")
    if isinstance(access.problem, CredentialError):
        finding = from_error(access.problem, otherwise=f"git coderepo login --host {host}")
        return finding._replace(detail=part.name + finding.detail)
    if access.origin is None:
        return ok(f"{part.name}none needed")
    if access.source is None:
        words = "none, and none is needed to read" if access.asked and access.problem is None else "none found"
        return ok(f"{part.name}{host}: {words}")
    words = f"{part.name}{host}: from {access.source}"
    if not access.asked or access.problem is not None:
        return note(f"{words}; not tried")
    facts = access.facts
    if facts is None:
        return ok(f"{words}, accepted")
    if facts.scopes is not None:
        words += f", may: {', '.join(facts.scopes) or 'read what is public'}"
    return _until(words, facts, now, f"git coderepo login --host {host}")


def _until(words: str, facts: TokenFacts, now: float, line: str) -> CheckResult:
    if facts.expires is None:
        return ok(f"{words}, accepted")
    left = _seconds_until(facts.expires, now)
    words = f"{words}, until {facts.expires}"
    if left is None or left > 7 * _DAY:
        return ok(words)
    return note(f"{words}: renew it soon", line)


def _seconds_until(text: str, now: float) -> float | None:
    """Return the seconds until a day, as GitLab writes it, or a time, as GitHub does; None if the text is neither."""
    for form in ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M:%S UTC"):
        try:
            moment = datetime.strptime(text, form)
        except ValueError:
            continue
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)).timestamp() - now
    return None


# --- remotes ---


def remote(known: Known) -> Iterator[CheckResult]:
    """Check that the platform and git reach each code repository."""
    for part in known.place.parts:
        if part.source is None:
            continue
        if known.answers.is_offline:
            yield note(f"{part.name}not asked (--offline)")
            continue
        by_git = known.answers.git.get(part.path)
        refused = by_git if isinstance(by_git, CodeRepoError) else None
        yield _reached(part, known.answers.access.get(part.path), refused)


def _reached(
    part: CheckedRepository, access: PlatformAnswer | CodeRepoError | None, by_git: CodeRepoError | None
) -> CheckResult:
    refused = access.problem if isinstance(access, PlatformAnswer) else None
    name = part.source.registration.name if part.source is not None else ""
    remote_url = part.source.remote if part.source is not None else None
    url = remote_url.url() if remote_url is not None else name
    if isinstance(refused, CredentialError) and (by_git is None or isinstance(by_git, CredentialError)):
        return note(f"{part.name}{url}: the credential is refused or missing; see there")
    error = refused or by_git
    if error is None:
        return ok(f"{part.name}{url} answers")
    detail = f"{part.name}{url}: {error.message}"
    finding = from_error(error, otherwise="git coderepo -v doctor")._replace(detail=detail)
    hint = finding.fix.line if finding.fix is not None else ""
    remote_name = part.source.remote_name if part.source is not None else None
    if remote_name is None or not hint.startswith(_WRONG_PLACE):
        return finding
    directory = f"-C {shell_word(part.layout.toplevel)} " if part.path else ""
    return problem(f"{detail}; {hint}", f"git {directory}remote set-url {shell_word(remote_name)} URL")


def refspec(known: Known) -> Iterator[CheckResult]:
    """Check that `git fetch` updates remote-tracking branches, by which the base of a run is known."""
    for part in known.place.parts:
        name = part.source.remote_name if part.source is not None else None
        if name is None or part.settings.value("remote", "url", name) is None:
            continue
        setting, value = f"remote.{name}.fetch", f"+refs/heads/*:refs/remotes/{name}/*"
        if not tracking_arguments(part.settings, name):
            yield problem(
                f"{part.name}'git fetch {name}' updates no remote-tracking branch, so the pushed commits are unknown",
                f"{_git(part)} config --local --replace-all {shell_word(setting)} {shell_word(value)}",
                partial(part.git.run, "config", "--local", "--replace-all", setting, value),
            )
        elif push_differs(part.settings, name):
            yield note(f"{part.name}'{name}' is pushed to another URL, so its remote-tracking branches do not count")
        else:
            branches = known.answers.git.get(part.path)
            finding = _misses_branches(part, name, branches) if isinstance(branches, frozenset) else None
            yield finding or _tracked(part, name, branches if isinstance(branches, frozenset) else None)


def _git(part: CheckedRepository) -> str:
    """Return the first words of a git command to type for a repository."""
    return f"git -C {shell_word(part.layout.toplevel)}" if part.path else "git"


def _misses_branches(part: CheckedRepository, name: str, branches: frozenset[str]) -> CheckResult | None:
    """Return the problem of refspecs that fetch no branch of the remote, or name one that it does not have."""
    refspecs = part.settings.values("remote", "fetch", name)
    sources = {each: _source(each) for each in refspecs if not each.startswith("^")}
    excluded = _named((each[1:] for each in refspecs if each.startswith("^")), branches)
    if _named(sources.values(), branches - excluded):
        missing = {each: source for each, source in sources.items() if _is_missing(source, branches)}
        return _without(part, name, missing) if missing else None
    is_for_others = not all(map(_is_branch, sources.values()))
    if not branches or (is_for_others and _tracking(part, name)):
        return None
    # Refspecs for other references stay, unless one of them excludes the branches.
    how = "--add" if is_for_others and not excluded else "--replace-all"
    git, remote_name = _git(part), shell_word(name)
    setting, value = shell_word(f"remote.{name}.fetch"), shell_word(f"+refs/heads/*:refs/remotes/{name}/*")
    return problem(
        f"{part.name}'remote.{name}.fetch' matches no branch of '{name}'",
        f"{git} config --local {how} {setting} {value} && {git} fetch {remote_name}",
    )


def _without(part: CheckedRepository, name: str, missing: Mapping[str, str]) -> CheckResult:
    """Return the problem of refspecs whose branches, by the refspec, the remote does not have."""
    git, setting = _git(part), shell_word(f"remote.{name}.fetch")
    removed = [f"{git} config --local --fixed-value --unset-all {setting} {shell_word(each)}" for each in missing]
    words = ", ".join(f"'{source}'" for source in missing.values())
    return problem(
        f"{part.name}'remote.{name}.fetch' names {words}, which '{name}' does not have, so 'git fetch' fails",
        " && ".join([*removed, f"{git} fetch {shell_word(name)}"]),
    )


def _named(sources: Iterable[str], branches: Iterable[str]) -> set[str]:
    """Return the branches that the left sides of refspecs name."""
    patterns = list(sources)
    return {branch for branch in branches if any(_names(source, branch) for source in patterns)}


def _is_missing(source: str, branches: frozenset[str]) -> bool:
    return _is_branch(source) and "*" not in source and not _named([source], branches)


def _tracking(part: CheckedRepository, name: str) -> bytes:
    """Return the ids of the references that the refspecs of a remote update."""
    return part.git.run("rev-parse", *tracking_arguments(part.settings, name))


def _source(refspec: str) -> str:
    return refspec.removeprefix("+").partition(":")[0]


def _is_branch(source: str) -> bool:
    """Return whether the left side of a refspec names branches only."""
    return source.startswith(("refs/heads/", "heads/")) or not (source.startswith("refs/") or source in ("HEAD", "@"))


def _names(source: str, branch: str) -> bool:
    """Return whether the left side of a refspec names a branch (`refs/heads/…`), as git reads it."""
    before, star, after = source.partition("*")
    if not star:
        return branch in (source, f"refs/{source}", f"refs/heads/{source}")
    return len(branch) >= len(before + after) and branch.startswith(before) and branch.endswith(after)


def _tracked(part: CheckedRepository, name: str, branches: frozenset[str] | None) -> CheckResult:
    """Return whether there are remote-tracking branches; `branches` are those of the remote, None if unknown."""
    git = _git(part)
    if _tracking(part, name):
        return ok(f"{part.name}{name}: {', '.join(part.settings.values('remote', 'fetch', name))}")
    if branches is not None and not branches:
        push = None if part.layout.head is None else f"{git} push --set-upstream {shell_word(name)} HEAD"
        return note(f"{part.name}'{name}' has no branches yet", push)
    if part.git.run("for-each-ref", "--count=1", f"refs/remotes/{name}/"):
        words = f"{part.name}'remote.{name}.fetch' selects none of the remote-tracking branches of '{name}'"
        return note(words, "git coderepo doctor" if branches is None else f"{git} fetch {shell_word(name)}")
    return note(f"{part.name}no remote-tracking branches of '{name}' yet", f"{git} fetch {shell_word(name)}")


# --- clock, proxy and certificates ---


def clock(known: Known) -> Iterator[CheckResult]:
    """Compare this machine's clock with that of the platforms."""
    dates = [
        each.facts.date for each in known.answers.access.values() if isinstance(each, PlatformAnswer) and each.facts
    ]
    for date in filter(None, dates[:1]):
        try:
            off = known.now - parsedate_to_datetime(date).timestamp()
        except ValueError:
            continue
        words = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the platform's clock"
        if abs(off) > _CLOCK_PROBLEM:
            yield problem(words, "sudo timedatectl set-ntp true")
        elif abs(off) > _CLOCK_NOTE:
            yield note(words, "sudo timedatectl set-ntp true")
        else:
            yield ok(f"within {_CLOCK_NOTE} s of the platform's")


def network(known: Known) -> Iterator[CheckResult]:
    """Show the proxy and the certificate authorities for each host, and check that the authorities can be read."""
    if known.place.settings_problem is not None:
        return
    access = [each for each in known.answers.access.values() if isinstance(each, PlatformAnswer)]
    hosts = {str(each.origin): each.origin for each in access if each.origin is not None}
    settings = NetworkSettings(known.place.environment)
    for origin in hosts.values() or ([] if known.place.parts else [Origin.parse(_USUAL)]):
        if origin.scheme != "https":
            continue
        proxies = settings.proxies(f"{origin}/", origin)
        proxy = proxy_shown(proxies.get("https") or proxies.get("all"))
        path = settings.authorities(origin)
        words = f"{origin.host}: {f'through the proxy {proxy}' if proxy else 'no proxy'}, authorities of '{path}'"
        if os.access(path, os.R_OK) and (os.path.isdir(path) or os.path.getsize(path) > 0):
            yield ok(words)
        else:
            yield problem(f"{words}, which cannot be read", _without_authorities(known, path))


def _without_authorities(known: Known, path: str) -> str:
    """Return the line that removes the setting, or the variable, that names these certificate authorities."""
    place = known.place
    if not place.environment.get("GIT_SSL_CAINFO"):
        asked = place.git.start("config", "--null", "--show-scope", "--get-regexp", r"^http\..*sslcainfo$")
        fields = os.fsdecode(asked.checked(1)).split("\0")
        for scope, entry in zip(fields[0:-1:2], fields[1::2], strict=True):
            name, _, value = entry.partition("\n")
            if os.path.expanduser(value) == path and scope != "command":
                return f"git config --{scope} --unset-all {shell_word(name)}"
    return f"unset {next((name for name in CA_VARIABLES if place.environment.get(name)), CA_VARIABLES[0])}"
