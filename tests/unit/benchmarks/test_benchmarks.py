"""The calculations of the benchmarks."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import payloads, report
from tests.benchmarks.call_load import is_whole
from tests.benchmarks.figures import quantile
from tests.benchmarks.payloads import Plan
from tests.benchmarks.process_tree import ProcessTree
from tests.benchmarks.rounds import Rounds
from tests.benchmarks.sizes import FULL, load_for

TWO_ROUNDS = Rounds(
    rounds=[
        {"2": {"direct": {"p50_ms": 0.1, "p99_ms": 5.0}, "broker": {"p50_ms": 0.8, "p99_ms": 2.1}}},
        {"2": {"direct": {"p50_ms": 0.3, "p99_ms": 9.0}, "broker": {"p50_ms": 1.2, "p99_ms": 3.3}}},
    ]
)


def test_a_plan_survives_a_broker_that_rewrites_json() -> None:
    """The stand-in reads its plan from the question."""
    plan = Plan(400, 0.5, 10)
    body = json.dumps({"messages": [{"role": "user", "content": plan.prompt()}]}, indent=1)

    assert payloads.read_plan(body.encode()) == plan
    assert payloads.read_plan(b'{"messages": "hello"}') is None


def test_the_stand_ins_stream_has_openais_form() -> None:
    """The stream has OpenAI's events and end, with one token mark in each."""
    body = (
        payloads.STREAM_BEGIN + b"".join(payloads.TOKENS) + payloads.last_token(123) + payloads.STREAM_END
    ).partition(b"\r\n\r\n")[2]
    events = [json.loads(data) for data in re.findall(rb"\r\ndata: (\{.*\})\n\n\r\n", body)]
    texts = [event["choices"][0]["delta"].get("content", "") for event in events if event["choices"]]

    assert body.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert [text.count("~") for text in texts] == [0, *[1] * (len(payloads.TOKENS) + 1), 0]
    assert texts[-2].endswith("@123@")
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert events[-1]["usage"] == payloads.USAGE


def test_chunks_have_valid_sizes() -> None:
    """The stand-in sends valid HTTP chunks."""
    size, _, rest = payloads.TOKENS[0].partition(b"\r\n")

    assert len(rest) == int(size, 16) + 2


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", False),
        (b"HTTP/1.1 200 OK\r\n", False),
    ],
)
def test_a_response_is_whole_at_its_end(response: bytes, expected: bool) -> None:
    """The next call is sent only then."""
    assert is_whole(response) is expected


def test_processor_time_of_children_is_counted() -> None:
    """The cost of a program includes all its processes."""
    spin = "import time\nwhile time.process_time() < 0.3: pass\nprint('spun', flush=True)\ninput()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}])"
    with subprocess.Popen((sys.executable, "-c", parent), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        tree = ProcessTree(process.pid)
        pids, seconds, pss, alone = tree.pids(), tree.processor_seconds(), tree.pss_bytes(), tree.alone_bytes()
        process.communicate(b"\n")

    assert len(pids) == 2
    assert 0.3 <= seconds < 5
    assert 1e6 < pss <= alone < 1e9


def test_a_quantile_is_not_exceeded_by_its_share() -> None:
    """p50 and p99 of 0 to 1000."""
    values = [float(value) for value in range(1001)]

    assert quantile(values, 0.5) == 500
    assert quantile(values, 0.99) == 990


def test_added_time_is_relative_to_direct_calls() -> None:
    """The median of direct calls is subtracted from a p99, too: a slow direct call must not flatter a contestant."""
    assert TWO_ROUNDS.added("2", "broker", "p50_ms") == pytest.approx([0.7, 0.9])
    assert TWO_ROUNDS.added("2", "broker", "p99_ms") == pytest.approx([2.0, 3.0])


def test_a_round_with_failed_streams_gives_no_other_value() -> None:
    """Fewer open streams would make each look cheap."""
    rounds = Rounds(
        rounds=[
            {"5 at 1000": {"broker": {"failed": 0, "stream_kb": 38.0}}},
            {"5 at 1000": {"broker": {"failed": 9, "stream_kb": 30.0}}},
        ]
    )

    assert rounds.values("5 at 1000", "broker", "stream_kb") == [38.0]
    assert rounds.values("5 at 1000", "broker", "failed") == [0, 9]


def test_a_ratio_is_within_one_round() -> None:
    """Rounds that lack one of the values are left out."""
    rounds = Rounds(
        rounds=[
            {"5 at 3000": {"nginx": {"stream_kb": 10.0}, "broker": {"failed": 9, "stream_kb": 1.0}}},
            {"5 at 3000": {"nginx": {"stream_kb": 20.0}, "broker": {"failed": 0, "stream_kb": 40.0}}},
        ]
    )

    assert "| 40.0 (40.0–40.0) | – | – | – | 2.0 (2.0–2.0) | – | – |" in report.text(rounds)


def test_a_cell_shows_the_median_and_the_range() -> None:
    """A dash stands for no value."""
    assert report.cell([1000.04, 2000.0, 4000.0], 1) == "2,000.0 (1,000.0–4,000.0)"
    assert report.cell([], 1) == "–"


def test_a_contestant_without_values_has_no_row() -> None:
    """Tables list only the contestants of the run."""
    text = report.text(TWO_ROUNDS)

    assert "| **broker** | 0.80 (0.70–0.90) | 2.50 (2.00–3.00) |" in text
    assert "\n| LiteLLM |" not in text


def test_litellm_gets_a_smaller_load() -> None:
    """The others get the full load."""
    assert load_for("broker", FULL) == FULL
    assert load_for("litellm", FULL).streams < FULL.streams


def test_results_survive_the_file(tmp_path: Path) -> None:
    """Rounds can be saved and loaded."""
    TWO_ROUNDS.save(tmp_path / "results.json")

    assert Rounds.load(tmp_path / "results.json") == TWO_ROUNDS
