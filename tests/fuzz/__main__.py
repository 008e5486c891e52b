"""Run the coverage-guided fuzzer on one parser or on all: `python -m tests.fuzz TARGET SECONDS FOLDER`.

It mutates inputs and keeps those that reach new code in `broker/` (in FOLDER, for the next run).
It exits with 0 after SECONDS, or with the input that broke a property. Without arguments it lists the targets.
"""

import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # no types are published

with atheris.instrument_imports(include=["broker"]):
    from tests.fuzz.targets import PARSERS, TARGETS, seeds

SLOWEST = 2  # seconds for one input: a parser of quadratic cost exceeds it
LONGEST = 16_384  # bytes of an input


def main() -> None:
    """Run the command line."""
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
