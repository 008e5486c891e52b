"""A call goes on to the next key; a refused, exhausted or limited one is set aside for a while."""

import re
from collections.abc import Callable

import pytest
import requests

from broker.errors.openai import OpenAIBroken, OpenAIOutOfQuota, OpenAIRateLimited, OpenAIRefusedKey, UpstreamFault
from broker.openai.keys import Keys, fingerprint_of

TEMPLATE = requests.Request("GET", "https://openai.invalid", headers={"Authorization": "Bearer sk-a"}).prepare()


class OpenAI:
    """Raises `faults` by key."""

    def __init__(self, keys: Keys, **faults: UpstreamFault) -> None:
        self.keys = keys
        self.faults = faults
        self.asked: list[str] = []

    def __call__(self) -> str:
        header = str(self.keys.sign(TEMPLATE).headers["Authorization"])
        key = header.removeprefix("Bearer sk-")
        self.asked.append(key)
        if key in self.faults:
            raise self.faults[key]
        return key


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A function that moves the clock forward."""
    now = [1000.0]
    monkeypatch.setattr("broker.openai.keys.time.monotonic", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


@pytest.mark.parametrize("fault", [OpenAIRefusedKey(), OpenAIOutOfQuota(), OpenAIRateLimited()])
def test_the_call_goes_on_to_the_next_key(fault: UpstreamFault, caplog: pytest.LogCaptureFixture) -> None:
    """Later calls begin with that key. The log tells by number which key is set aside and which is in use."""
    keys = Keys(("sk-a", "sk-b"))
    openai = OpenAI(keys, a=fault)
    assert [keys.call(openai), keys.call(openai)] == ["b", "b"]
    assert openai.asked == ["a", "b", "b"]
    aside, used = caplog.records
    assert (aside.key_number, aside.code) == (1, fault.code)  # type: ignore[attr-defined]
    assert (used.message, used.key_number) == ("OpenAI key is in use", 2)  # type: ignore[attr-defined]
    assert "sk-" not in str(vars(aside)) + str(vars(used))
    assert TEMPLATE.headers["Authorization"] == "Bearer sk-a"


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (OpenAIRefusedKey(), 300.0),
        (OpenAIOutOfQuota(), 300.0),
        (OpenAIRateLimited(), 5.0),
        (OpenAIRateLimited(retry_after=20), 20.0),
        (OpenAIRateLimited(retry_after=7200), 60.0),
    ],
)
def test_a_key_is_set_aside_for_a_while(fault: UpstreamFault, seconds: float, clock: Callable[[float], None]) -> None:
    """The time is longer for a refused or exhausted key than for a limited one."""
    keys = Keys(("sk-a", "sk-b"))
    openai = OpenAI(keys, a=fault)
    keys.call(openai)
    openai.faults.clear()
    clock(seconds - 0.1)
    assert keys.call(openai) == "b"
    clock(0.2)
    assert keys.call(openai) == "a"


def test_if_no_key_is_usable_the_fault_is_raised(clock: Callable[[float], None]) -> None:
    """While all are set aside, each call tries the one that is usable first."""
    keys = Keys(("sk-a", "sk-b"))
    openai = OpenAI(keys, a=OpenAIRefusedKey(), b=OpenAIRateLimited(retry_after=2))
    for _ in range(2):
        with pytest.raises(OpenAIRateLimited):
            keys.call(openai)
        clock(0.1)
    assert openai.asked == ["a", "b", "b"]


def test_other_failures_are_no_reason_for_another_key() -> None:
    """OpenAI itself has failed."""
    keys = Keys(("sk-a", "sk-b"))
    openai = OpenAI(keys, a=OpenAIBroken())
    with pytest.raises(OpenAIBroken):
        keys.call(openai)
    assert openai.asked == ["a"]


def test_a_single_key_is_never_set_aside(caplog: pytest.LogCaptureFixture) -> None:
    """Every call uses it."""
    keys = Keys(("sk-a",))
    openai = OpenAI(keys, a=OpenAIRefusedKey())
    for _ in range(2):
        with pytest.raises(OpenAIRefusedKey):
            keys.call(openai)
    assert openai.asked == ["a", "a"]
    assert caplog.records == []
    assert keys.sign(TEMPLATE) is TEMPLATE


def test_a_pinned_call_uses_its_key_alone(clock: Callable[[float], None]) -> None:
    """The key is used even if it is set aside, because no other key has the stored object."""
    keys = Keys(("sk-a", "sk-b"))
    openai = OpenAI(keys, b=OpenAIRateLimited(retry_after=2))
    with keys.pinned(fingerprint_of("sk-b")):
        for _ in range(2):
            with pytest.raises(OpenAIRateLimited):
                keys.call(openai)
    assert keys.call(openai) == "a"
    assert openai.asked == ["b", "b", "a"]


@pytest.mark.parametrize("fingerprint", [None, "", fingerprint_of("sk-c")])
def test_a_key_that_is_no_longer_configured_pins_nothing(fingerprint: str | None) -> None:
    """The call is made like any other."""
    keys = Keys(("sk-a", "sk-b"))
    openai = OpenAI(keys, a=OpenAIRefusedKey())
    with keys.pinned(fingerprint):
        assert keys.call(openai) == "b"
    assert keys.fingerprint == fingerprint_of("sk-b")


def test_a_fingerprint_tells_keys_apart_and_shows_nothing_of_them() -> None:
    """It does not depend on the order of the keys."""
    fingerprints = [fingerprint_of(f"sk-proj-{number}") for number in range(1000)]
    assert len(set(fingerprints)) == 1000
    assert all(re.fullmatch("[0-9a-f]{12}", one) for one in fingerprints)
    assert Keys(("sk-a", "sk-b")).fingerprint == Keys(("sk-a",)).fingerprint == fingerprint_of("sk-a")
