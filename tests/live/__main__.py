"""`python -m tests.live [--quick] [--url URL] [TARGET…]`: check the named brokers, or all; prints a table for each."""

import argparse
import sys
import time
from pathlib import Path

import requests

from tests.live.checks import CHECKS, Check
from tests.live.target import FOLDER, TARGETS, CannotBeChecked, Target, Wrong, read_target


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if all checks passed, 1 if a check failed, 2 if a named target cannot be checked."""
    parser = argparse.ArgumentParser(prog="python -m tests.live", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--quick", action="store_true", help="only the fast checks")
    parser.add_argument("--url", help="overrides BASE_URL; the env file is optional then")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="the folder of the env files")
    chosen = parser.parse_args(arguments)
    targets, unchecked = _read(chosen.targets or list(TARGETS), chosen.folder, chosen.url)
    wrong = sum(_check(target, _select(target, quick=chosen.quick)) for target in targets)
    for name, reason in unchecked.items():
        print(f"\n{name}: not checked: {reason}")
    if wrong:
        return 1
    return 2 if not targets or (chosen.targets and unchecked) else 0


def _read(names: list[str], folder: Path, url: str | None) -> tuple[list[Target], dict[str, str]]:
    targets, unchecked = [], {}
    for name in names:
        try:
            if name not in TARGETS:
                raise CannotBeChecked(f"the targets are {', '.join(TARGETS)}")
            targets.append(read_target(name, folder, url))
        except CannotBeChecked as error:
            unchecked[name] = str(error)
    return targets, unchecked


def _select(target: Target, *, quick: bool) -> list[Check]:
    return [one for one in CHECKS if (one.is_quick or not quick) and (target.account or not one.needs_user)]


def _check(target: Target, checks: list[Check]) -> int:
    """Run the checks, print their table and return the number of failures."""
    calls = sum(one.calls for one in checks)
    print(f"\n{target.name}  {target.base_url}  ({calls} calls to OpenAI, of a few tokens each)")
    failures = 0
    for one in checks:
        started = time.monotonic()
        problem = _problem(one, target)
        failures += bool(problem)
        print(f"  {'WRONG' if problem else 'fine ':5}  {time.monotonic() - started:6.2f} s  {one.title}", flush=True)
        if problem:
            print(f"                   {problem}")
    if not target.account:
        print("  not checked: calls of a signed-in user (no env file with an account)")
    print(f"  {target.name}: {len(checks) - failures} fine, {failures} wrong")
    return failures


def _problem(one: Check, target: Target) -> str:
    """Run one check and return what failed, or "". Contains no token or key."""
    if one.needs_user and not target.token and not one.title.startswith("the user signs in"):
        return "no user is signed in"
    try:
        one.run(target)
    except Wrong as wrong:
        return str(wrong)
    except (requests.RequestException, ValueError) as error:
        return f"no usable response: {type(error).__name__}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
