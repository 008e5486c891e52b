"""The goals: figures for a machine with two processors, and ratios for any."""

from dataclasses import dataclass

from tests.benchmarks.columns import Column


@dataclass(frozen=True)
class Goal:
    """The upper bound of one quantity of a figure."""

    figure: str
    column: Column
    must: float
    aim: float
    peer_figure: str = ""  # the figure of LiteLLM's value, if another

    @property
    def figure_of_peer(self) -> str:
        """The figure with LiteLLM's value."""
        return self.peer_figure or self.figure


GOALS = (
    Goal("1", Column("processor_ms", "processor time of a whole call, ms", 3), 0.60, 0.45),
    Goal("2", Column("p50_ms", "median time added to a call, ms", 2, is_added=True), 1.0, 0.7),
    Goal("3", Column("processor_us", "processor time of a streamed token, µs"), 35, 25),
    Goal("5 at 1000", Column("stream_kb", "memory of an open stream, KB (of 1,000)"), 35, 22, "5 at 100"),
    Goal("5 at 5000", Column("stream_kb", "memory of an open stream, KB (of 5,000)"), 35, 22, "5 at 100"),
    Goal("5 at 5000", Column("first_p99_ms", "first token p99, ms (5,000 streams)"), 150, 50, "5 at 100"),
    Goal("6", Column("pss_mb", "memory at rest (PSS), MB"), 60, 42),
)
