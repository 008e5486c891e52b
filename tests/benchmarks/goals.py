"""The figures that the broker must reach and those that it aims for, over TLS."""

from dataclasses import dataclass

from tests.benchmarks.columns import Column


@dataclass(frozen=True)
class Goal:
    """One quantity of one figure, and its bounds: values, or with `of_nginx` multiples of what nginx takes."""

    figure: str
    column: Column
    must: float
    aim: float
    peer_figure: str = ""  # where LiteLLM's is found, if not in the same figure
    of_nginx: bool = False

    @property
    def figure_of_peer(self) -> str:
        """The figure with LiteLLM's value."""
        return self.peer_figure or self.figure

    def shown(self, bound: float) -> str:
        """The bound as a table says it."""
        return f"≤ {bound:g} × nginx" if self.of_nginx else f"≤ {bound:g}"


GOALS = (
    Goal("1", Column("processor_ms", "processor time of a whole call, ms", 3), 45, 35, of_nginx=True),
    Goal("2", Column("p50_ms", "median time added to a call, ms", 2, is_added=True), 0.9, 0.7),
    Goal("3", Column("processor_us", "processor time of a streamed token, µs"), 2.5, 2.0, of_nginx=True),
    Goal("5 at 3000", Column("stream_kb", "memory of an open stream, KB (of 3,000)"), 32, 24, "5 at 100"),
    Goal("5 at 3000", Column("first_p50_ms", "first token p50, ms (3,000 streams)"), 5, 3, "5 at 100"),
    Goal("5 at 3000", Column("first_p99_ms", "first token p99, ms (3,000 streams)"), 40, 20, "5 at 100"),
    Goal("6", Column("pss_mb", "memory at rest (PSS), MB"), 60, 50),
)
