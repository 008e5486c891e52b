"""The tables: titles and columns of each figure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A quantity of the results with its heading and decimal places."""

    quantity: str
    heading: str
    digits: int = 1
    is_added: bool = False  # shown minus the median of direct calls to the stand-in


@dataclass(frozen=True)
class Table:
    """A figure at one size."""

    figure: str
    title: str
    columns: tuple[Column, ...]


_FIRST = (Column("first_p50_ms", "first token p50, ms"), Column("first_p99_ms", "p99, ms"))
_STREAM = (
    Column("processor_us", "processor µs a token"),
    Column("first_p50_ms", "first token added p50, ms", 1, is_added=True),
    Column("first_p99_ms", "p99, ms", 1, is_added=True),
    Column("late_p50_ms", "last token late p50, ms", 1),
    Column("late_p99_ms", "p99, ms", 1),
    Column("tokens_a_read", "tokens a read", 1),
    Column("upstream_busy", "stand-in busy", 2),
    Column("generator_busy", "generator busy", 2),
)
_OPEN = (Column("stream_kb", "KB a stream"), *_FIRST, Column("processor_us", "processor µs a token"),
         Column("failed", "failed", 0))  # fmt: skip
_BODY = (Column("processor_ms", "processor ms a call", 3), Column("p50_ms", "p50, ms"), Column("p99_ms", "p99, ms"))

TABLES = (
    Table("1", "1 · Whole calls, immediate upstream, 32 connections", (
        Column("processor_ms", "processor ms a call", 3),
        Column("calls_a_second", "calls a second", 0),
        Column("p50_ms", "p50, ms"),
        Column("p99_ms", "p99, ms"),
        Column("redis_ms", "Redis: processor ms a call", 3),
        Column("upstream_busy", "stand-in busy", 2),
        Column("generator_busy", "generator busy", 2),
    )),
    Table("2", "2 · One call at a time: time added", (
        Column("p50_ms", "median added, ms", 2, is_added=True),
        Column("p99_ms", "p99 added, ms", 2, is_added=True),
    )),
    Table("3", "3 · 200 streams of 400 tokens, 50 a second each (LiteLLM: 10 streams of 200)", _STREAM),
    Table("4", "4 · The same, tokens in clumps of 1 to 10", _STREAM),
    Table("5 at 100", "5 · 100 open streams, one token a second each, 10 begun a second", _OPEN),
    Table("5 at 1000", "5 · 1,000 open streams, one token a second each, 250 begun a second", _OPEN),
    Table("5 at 3000", "5 · 3,000 open streams, one token a second each, 250 begun a second", _OPEN),
    Table("6", "6 · At rest", (
        Column("pss_mb", "memory (PSS), MB"),
        Column("alone_mb", "the same, were it alone, MB"),
        Column("start_s", "start to first answer, s", 2),
    )),
    Table("8 with a conversation of 100 KB", "8 · Whole calls with a conversation of 100 KB, 4 connections", _BODY),
    Table("8 with an image of 2 MB", "8 · Whole calls with an image of 2 MB, 4 connections", _BODY),
)  # fmt: skip

GROWTH = (
    Column("processor_us", "processor µs a token"),
    Column("call_ms", "processor ms a call besides them", 2),
    Column("processor_ms", "processor ms a call", 3),
    Column("redis_ms", "Redis: processor ms a call", 3),
    Column("redis_bytes", "Redis: bytes a user", 0),
    Column("calls_a_second", "calls a second", 0),
    Column("pss_mb", "memory (PSS), MB", 0),
)

LIMITS = (
    Column("call_ms", "processor ms a call, Redis included", 3),
    Column("redis_ms", "of these Redis", 3),
    Column("call_ms_ratio", "call ÷ calls only", 3),
    Column("processor_us", "processor µs a token"),
    Column("processor_us_ratio", "token ÷ calls only", 3),
)
CONNECTIONS = (
    Column("round_trips", "round trips to the first token", 0),
    Column("first_ms", "first token, ms"),
    Column("processor_ms", "processor ms to open it", 2),
)
