"""`python -m tests.fuzz TARGET [SECONDS] [SEEDS…]`: fuzzes one reader, guided by coverage, until a finding or the time.

Inputs that reach something new are kept in `.fuzz/TARGET/`, from which the next call goes on; what raised is left in
`.fuzz/TARGET-…`, and `python -m tests.fuzz TARGET 0 FILE` plays it again. atheris: https://github.com/google/atheris
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".fuzz"
# What one input may take: libFuzzer calls what goes beyond a finding.
_SECONDS_FOR_ONE = 20
_MEGABYTES = 1024


def main(words: list[str]) -> int:
    """Exit status: 0 when the time is over, 129 for words that make no sense; libFuzzer's own (77) for a finding."""
    import atheris

    with atheris.instrument_imports(include=["git_coderepo"], enable_loader_override=False):
        from tests.fuzz.targets import TARGETS

    if not words or words[0] not in TARGETS:
        print(f"usage: python -m tests.fuzz {'|'.join(TARGETS)} [SECONDS] [FILE]...", file=sys.stderr)
        return 129
    name, seconds, files = words[0], int(words[1]) if len(words) > 1 else 60, words[2:]
    target = TARGETS[name]
    for file in files:
        target.one(Path(file).read_bytes())
    if not seconds:
        return 0
    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (corpus / sha256(seed).hexdigest()[:40]).write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={target.longest}",
        f"-timeout={_SECONDS_FOR_ONE}",
        f"-rss_limit_mb={_MEGABYTES}",
        f"-artifact_prefix={FOLDER}/{name}-",
        "-print_final_stats=1",
        "-close_fd_mask=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.one)
    atheris.Fuzz()  # leaves the process
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
