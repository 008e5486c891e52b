"""The progress bar: on stderr, only where there is much to look through."""

import io

import pytest

from broker.cli.progress import LEAST, Progress


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.cli.progress.INTERVAL", 0)


def test_it_shows_the_share_and_disappears() -> None:
    """Keys may be added meanwhile: it never exceeds the whole."""
    stream = io.StringIO()
    bar = Progress(LEAST, is_shown=True, stream=stream)
    bar.show(LEAST // 2, 12)
    bar.show(2 * LEAST, 1234)
    bar.end()
    half, whole, end = stream.getvalue().split("\r")[1:]
    assert half == "[" + "#" * 15 + "." * 15 + "]  50%  12 users"
    assert whole == "[" + "#" * 30 + "] 100%  1,234 users"
    assert end == "\033[K"


@pytest.mark.parametrize(("total", "is_shown"), [(LEAST - 1, True), (LEAST, False)])
def test_otherwise_nothing_is_written(total: int, is_shown: bool) -> None:
    stream = io.StringIO()
    bar = Progress(total, is_shown=is_shown, stream=stream)
    bar.show(1, 1)
    bar.end()
    assert stream.getvalue() == ""
