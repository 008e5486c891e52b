"""Writes the simulated day as results/day.md and results/day.png: `python -m tests.benchmarks.day_page`."""

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from tests.benchmarks.capacity import Costs
from tests.benchmarks.day import NODE_START, POD_START, WORKERS, Day, breaking_points, redis_nodes, simulate
from tests.benchmarks.rounds import FILE, Rounds

PAGE, PICTURE = FILE.with_name("day.md"), FILE.with_name("day.png")
USERS = (10_000, 1_000_000, 10_000_000)
CALLS = (5.0, 10.0)  # of a user
HEADINGS = (
    "users a day", "calls each", "open streams, most", "pods, least–most", "cores, most", "core hours",
    "more work than cores", "streams cut", "Redis primaries", "commands a second of each", "core of each",
    "memory of each", "between zones", "OpenAI tokens a minute",
)  # fmt: skip


def text(costs: Costs, days: dict[tuple[int, float], Day]) -> str:
    """The page."""
    return "\n".join(_lines(costs, days)) + "\n"


def simulated(costs: Costs) -> dict[tuple[int, float], Day]:
    """Return every day of the table, by users and calls per user."""
    return {(users, calls): simulate(users, calls, costs) for users in USERS for calls in CALLS}


def _lines(costs: Costs, days: dict[tuple[int, float], Day]) -> Iterator[str]:
    yield "# A day with many users\n"
    yield "Written by `python -m tests.benchmarks.day_page` from the medians of `results.json`. The autoscaler's rules"
    yield f"are those of `deploy/kubernetes`. A pod has {WORKERS} workers, and is ready {POD_START:.0f} s after the"
    yield f"decision, or {NODE_START:.0f} s later where a node has to come first. No cluster ran: it is arithmetic."
    yield "\n![A day of ten million users](day.png)\n"
    yield "| " + " | ".join(HEADINGS) + " |"
    yield "|---" * len(HEADINGS) + "|"
    for (_, calls), day in days.items():
        yield _row(day, calls)
    yield "\n*More work than cores* is the share of the day in which answers wait for a processor. No stream is cut:"
    yield "the grace period of a pod is longer than the longest call. A call takes three commands of Redis, an open one"
    yield "another every 15 s; a primary has at most 70 % of its core to do and 4,000 MB to hold. *Between zones*: two"
    yield "thirds of all bytes to and from pods; three zones are used alike. *OpenAI tokens a minute*, at the busiest"
    yield "moment, with 300 of the prompt and 300 of the answer: the account's own limit has to allow them, and no pod"
    yield "helps with it; `OPENAI_API_KEY` takes several keys."
    yield "\n## What breaks first\n"
    yield f"With {CALLS[-1]:.0f} calls a user, from this many users a day on:\n"
    for users, what in breaking_points(costs, CALLS[-1]):
        yield f"- **{users:,}**: {what}"


def _row(day: Day, calls: float) -> str:
    nodes = redis_nodes(day)
    cells = (
        f"{day.users:,}", f"{calls:g}", f"{max(day.streams):,.0f}", f"{min(day.pods)}–{max(day.pods)}",
        f"{max(day.pods) * WORKERS}", f"{day.core_hours:,.0f}", f"{day.overloaded:.2%}", f"{day.cut}",
        f"{nodes}", f"{day.redis_ops / nodes:,.0f}", f"{day.redis_share / nodes:.1%}",
        f"{day.redis_mb / nodes:,.0f} MB", f"{day.cross_zone_gb:,.1f} GB", f"{day.openai_tokens / 1e6:,.1f} M",
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def draw(day: Day, file: Path) -> None:
    """Draw open streams, pods, and the load of their cores over the day."""
    figure = Figure(figsize=(12, 9), layout="constrained")
    above, middle, below = figure.subplots(3, 1, sharex=True)
    above.plot(day.hours, day.streams, color="#1f77b4")
    above.set_title(f"Open streams ({day.users:,} users, {day.calls:,} calls)")
    middle.plot(day.hours, day.pods, color="#c9a66b", drawstyle="steps-post")
    middle.set_title("Pods that run: ready, starting, draining")
    below.plot(day.hours, [share * 100 for share in day.busy], color="#d98880")
    below.axhline(100, color="#c0392b", linestyle="--", linewidth=1)
    below.set_title("Percent of the ready pods' cores at work")
    below.set_xlabel("hour of the day")
    for place in (above, middle, below):
        place.set_ylim(bottom=0)
        place.grid(alpha=0.3)
    figure.savefig(file, dpi=80)


def write(rounds: Rounds) -> None:
    """Write page and picture from the measured costs."""
    costs = Costs.of(rounds)
    days = simulated(costs)
    PAGE.write_text(text(costs, days))
    draw(days[USERS[-1], CALLS[-1]], PICTURE)


if __name__ == "__main__":
    write(Rounds.load())
