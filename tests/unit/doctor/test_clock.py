"""The clock, compared with the `Date` header of Supabase and OpenAI."""

import datetime

import pytest
import requests

from broker.doctor import clock
from broker.settings.settings import Settings
from tests.apps import REQUIRED


@pytest.mark.parametrize(("difference", "expected"), [(0, ""), (-19, ""), (4000, "4000 s ahead"), (-25, "25 s behind")])
def test_a_clock_that_is_off_is_reported(difference: float, expected: str) -> None:
    """Differences from 20 seconds on are reported with their direction."""
    advice = clock.advice(difference)
    assert expected in advice
    assert bool(advice) is bool(expected)


def test_both_peers_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer an hour behind is reported; one without a Date is not checked."""
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    answers = iter(({"Date": past.strftime("%a, %d %b %Y %H:%M:%S GMT")}, {}))

    def head(*_: object, **__: object) -> requests.Response:
        response = requests.Response()
        response.headers.update(next(answers))
        return response

    monkeypatch.setattr(requests, "head", head)
    supabase, openai = clock.examine(Settings.from_environ(REQUIRED))
    assert (supabase.verdict, openai.verdict) == ("WRONG", "not checked")
    assert "ahead" in supabase.todo
