"""The figures of a soak test as a table and a plot."""

from pathlib import Path

from matplotlib.figure import Figure

from tests.soak.meter import Sample

FIGURES = {
    "memory": "memory of the largest worker, PSS, MB",
    "resident": "the same, RSS, MB",
    "files": "open files of all workers",
    "greenlets": "greenlets of all workers",
    "threads": "threads of all workers",
    "upstream": "connections to OpenAI",
    "keys": "keys in Redis",
    "redis": "memory of Redis, MB",
}
# allowed growth from the end of the warm-up to the end, both at rest
MORE_MEMORY = 0.05  # share, and 100 times that in MB: the allocator varies
MORE: dict[str, float] = {
    "files": 12,  # pooled connections to OpenAI and Redis
    "greenlets": 4,
    "upstream": 6,
    "keys": 3,
}  # pools keep connections; leases expire


def table(before: Sample, after: Sample) -> str:
    """Return a Markdown table of each figure after the warm-up and at the end, both at rest."""
    lines = ["| | after warm-up | at the end |", "|---|---|---|"]
    lines += [f"| {text} | {before.row()[name]:.4g} | {after.row()[name]:.4g} |" for name, text in FIGURES.items()]
    return "\n".join(lines)


def growth(before: Sample, after: Sample) -> list[str]:
    """Return the figures that grew by more than allowed."""
    first, last = before.row(), after.row()
    grown = [name for name, more in MORE.items() if last[name] > first[name] + more]
    grown += [name for name in ("memory",) if last[name] > first[name] * (1 + MORE_MEMORY) + 100 * MORE_MEMORY]
    return [f"{FIGURES[name]}: {first[name]:.1f} → {last[name]:.1f}" for name in grown]


def plot(samples: list[Sample], marks: list[tuple[float, str]], path: Path) -> None:
    """Write a PNG of each figure over time with the faults marked."""
    figure = Figure(figsize=(12, 14), layout="constrained")
    axes = figure.subplots(len(FIGURES), 1, sharex=True)
    minutes = [sample.at / 60 for sample in samples]
    for axis, (name, text) in zip(axes, FIGURES.items(), strict=True):
        axis.plot(minutes, [sample.row()[name] for sample in samples], linewidth=1)
        axis.set_title(text, fontsize=9, loc="left")
        axis.set_ylim(0, 1.25 * max(sample.row()[name] for sample in samples))
        axis.grid(alpha=0.3)
        for at, word in marks:
            axis.axvline(at / 60, color="tab:green" if word == "rest" else "tab:red", linewidth=0.6, alpha=0.6)
    for at, word in marks:
        axes[0].annotate(word, (at / 60, axes[0].get_ylim()[1]), rotation=90, fontsize=6, va="top")
    axes[-1].set_xlabel("minutes")
    figure.savefig(path, dpi=110)
