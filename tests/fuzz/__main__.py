"""The coverage-guided fuzzer on one parser, or on all: `python -m tests.fuzz TARGET SECONDS FOLDER`.

It mutates inputs, keeps those that reach new code in `broker/` (in FOLDER, for the next run), and goes on from them.
It ends with status 0 after SECONDS, or with the input that broke a promise. Without arguments: the targets' names.
"""

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # it has none

with atheris.instrument_imports(include=["broker"]):
    from tests.fuzz.targets import PARSERS, TARGETS, seeds

SLOWEST = 2  # seconds for one input: a parser that costs the square of its input's length does not hold it
LONGEST = 16_384  # bytes of one input


def main() -> None:
    """Read the command line, and search."""
    if len(sys.argv) == 1:
        print(*PARSERS)
        return
    name, seconds, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(name)):
        (folder / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-timeout={SLOWEST}", f"-max_len={LONGEST}", "-rss_limit_mb=2048"]
    options += [f"-artifact_prefix={folder}/broken-", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(folder)], TARGETS[name], enable_python_coverage=True)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
