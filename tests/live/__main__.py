"""`python -m tests.live [--quick] [--url URL] [TARGET…]`: check the named brokers, or all; a table for each."""

import argparse
import sys
import time
from pathlib import Path

import requests

from tests.live.checks import CHECKS, Check
from tests.live.target import FOLDER, TARGETS, CannotBeChecked, Target, Wrong, read_target


def main(arguments: list[str] | None = None) -> int:
    """0: all that was checked is well. 1: something is wrong. 2: what was asked for cannot be checked."""
    parser = argparse.ArgumentParser(prog="python -m tests.live", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--quick", action="store_true", help="only what tells at once whether it serves")
    parser.add_argument("--url", help="ask here, whatever the env file says; it may be missing then")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the env files lie")
    chosen = parser.parse_args(arguments)
    targets, unchecked = _read(chosen.targets or list(TARGETS), chosen.folder, chosen.url)
    wrong = sum(_check(target, _select(target, quick=chosen.quick)) for target in targets)
    for name, why in unchecked.items():
        print(f"\n{name}: not checked: {why}")
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
        except CannotBeChecked as why:
            unchecked[name] = str(why)
    return targets, unchecked


def _select(target: Target, *, quick: bool) -> list[Check]:
    return [one for one in CHECKS if (one.is_quick or not quick) and (target.account or not one.needs_user)]


def _check(target: Target, checks: list[Check]) -> int:
    """Run the checks and print their table; how many failed."""
    calls = sum(one.calls for one in checks)
    print(f"\n{target.name}  {target.base_url}  ({calls} calls to OpenAI, of a few tokens each)")
    failures = 0
    for one in checks:
        started = time.monotonic()
        why = _why_not(one, target)
        failures += bool(why)
        print(f"  {'WRONG' if why else 'fine ':5}  {time.monotonic() - started:6.2f} s  {one.title}", flush=True)
        if why:
            print(f"                   {why}")
    if not target.account:
        print("  not checked: what a signed-in user sees (there is no env file with an account)")
    print(f"  {target.name}: {len(checks) - failures} fine, {failures} wrong")
    return failures


def _why_not(one: Check, target: Target) -> str:
    """What is wrong; nothing if all is well. No token or key is in it."""
    if one.needs_user and not target.token and not one.title.startswith("the user signs in"):
        return "nobody is signed in"
    try:
        one.run(target)
    except Wrong as wrong:
        return str(wrong)
    except (requests.RequestException, ValueError) as error:
        return f"no usable answer: {type(error).__name__}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
