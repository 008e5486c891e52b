"""The clock, compared with the `Date` header of Supabase and OpenAI."""

import datetime

import certifi
import pytest
import requests

from broker.doctor import clock
from broker.doctor.public_url import Unreachable, sign_in
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


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_authorities_of_the_settings_are_trusted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`requests` knows only one of the two variables. Signing in uses the same ones."""
    trusted: list[object] = []

    def answer(*_: object, verify: object, **__: object) -> requests.Response:
        trusted.append(verify)
        raise requests.ConnectionError

    monkeypatch.setattr(requests, "head", answer)
    monkeypatch.setattr(requests, "post", answer)
    settings = Settings.from_environ(REQUIRED | {name: certifi.where()})
    list(clock.examine(settings))
    with pytest.raises(Unreachable):
        sign_in(settings, "key", "a@b.test", "password")
    assert trusted == [certifi.where()] * 3
