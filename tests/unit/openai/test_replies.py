"""Recorded and constructed replies of OpenAI, and the fault of each."""

import json
import time

import pytest

from broker.errors import base as faults
from broker.errors import openai as openai_faults
from broker.openai import replies
from tests.recorded import RecordedReply, errors, whole_answers

KINDS = {
    "400_temperature_unsupported": openai_faults.ParameterUnsupported,
    "400_temperature_parameter": openai_faults.ParameterUnsupported,
    "400": openai_faults.RefusedByOpenAI,
    "401": openai_faults.OpenAIRefusedKey,
    "403": openai_faults.OpenAIRefusedBroker,
    "404": openai_faults.OpenAIRefusedBroker,
    "408": openai_faults.OpenAIWaited,
    "409": openai_faults.OpenAIBroken,
    "422": openai_faults.RefusedByOpenAI,
    "429_insufficient_quota": openai_faults.OpenAIOutOfQuota,
    "429_request_too_large": openai_faults.RefusedByOpenAI,
    "429_tokens_too_large": openai_faults.RefusedByOpenAI,
    "429": openai_faults.OpenAIRateLimited,
    "500": openai_faults.OpenAIBroken,
    "503": openai_faults.OpenAIBroken,
}


def kind_of(name: str) -> type[faults.Fault]:
    """Return the expected fault of a reply: the longest listed prefix of its name."""
    plain = name.removeprefix("er_")
    return KINDS[max((key for key in KINDS if plain.startswith(key)), key=len)]


def fault_of(reply: RecordedReply) -> faults.Fault:
    with pytest.raises(faults.Fault) as raised:
        replies.read_reply(reply.status, reply.body)
    return raised.value


@pytest.mark.parametrize("reply", errors(), ids=lambda reply: reply.name)
def test_every_recorded_error_has_its_fault(reply: RecordedReply) -> None:
    """The class shows who caused the fault."""
    assert type(fault_of(reply)) is kind_of(reply.name)


@pytest.mark.parametrize("reply", errors(), ids=lambda reply: reply.name)
def test_no_fault_repeats_the_account(reply: RecordedReply) -> None:
    """OpenAI's messages contain parts of the key and the organisation; the broker's do not."""
    shown = json.dumps([fault_of(reply).sentence, fault_of(reply).details])
    assert "org-" not in shown
    assert "key" not in shown.lower()
    assert "****" not in shown


def test_the_callers_mistake_keeps_openais_sentence() -> None:
    """A 400 concerns the input, so the sentence is OpenAI's own."""
    reply = next(reply for reply in errors() if "context_length" in reply.name)
    fault = fault_of(reply)
    assert fault.status == 400
    assert fault.sentence == json.loads(reply.body)["error"]["message"]


@pytest.mark.parametrize("reply", whole_answers(), ids=lambda reply: reply.name)
def test_every_recorded_answer_is_read(reply: RecordedReply) -> None:
    """The text is the first choice's content, else its refusal, else empty. The usage has the answer's tier."""
    answer = replies.read_answer(reply.status, reply.body)
    content = json.loads(reply.body)
    message = content["choices"][0]["message"]
    assert answer.text == (message["content"] or message.get("refusal") or "")
    assert answer.usage == content["usage"] | {name: content[name] for name in ("service_tier",) if content.get(name)}
    assert answer.body == reply.body


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"error": {"message": "x"}}', b"\xff"])
def test_a_200_that_is_no_answer_is_nonsense(body: bytes) -> None:
    """The client gets a 502 without any of the content."""
    with pytest.raises(openai_faults.OpenAINonsense):
        replies.read_reply(200, body)


@pytest.mark.parametrize(
    "content",
    [{}, {"choices": []}, {"choices": [{}]}, {"choices": [{"message": None}]}, {"choices": 1},
     {"choices": [{"message": {"content": 7}}]}, {"choices": [{"message": {"content": "x"}}], "usage": [1]}],
)  # fmt: skip
def test_an_answer_without_a_message_is_nonsense(content: dict[str, object]) -> None:
    """A missing member raises a fault, not an internal error."""
    with pytest.raises(openai_faults.OpenAINonsense):
        replies.read_answer(200, json.dumps(content).encode())


@pytest.mark.parametrize("status", [418, 301, 204, 402])
def test_an_unknown_status_is_openais_fault(status: int) -> None:
    """It is not retried."""
    with pytest.raises(openai_faults.UpstreamFault) as raised:
        replies.read_reply(status, b"")
    assert not raised.value.retryable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "20"}, 20),
        ({"retry-after": "20", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan", "retry-after-ms": "x"}, None),
        ({"retry-after": "Tue, 24 Nov 2026 12:00:30 GMT"}, 30),
        ({"retry-after": "Tue, 24 Nov 2026 11:00:00 GMT"}, 0),
    ],
)
def test_the_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds take precedence over seconds, and seconds over a date."""
    noon = 1_795_521_600
    assert time.gmtime(noon)[:4] == (2026, 11, 24, 12)
    assert replies.retry_after(headers, noon) == seconds


def test_it_backs_off_exponentially_with_jitter() -> None:
    """0.5, 1, 2 … at most 8 s, each reduced by up to a quarter at random."""
    for attempt, full in ((0, 0.5), (1, 1.0), (2, 2.0), (9, 8.0)):
        waits = {replies.back_off(attempt) for _ in range(50)}
        assert all(full * 0.75 <= wait <= full for wait in waits)
        assert len(waits) > 1


@pytest.mark.parametrize(
    "name",
    ["sk-planted123456", "sk-proj-abcDEF_123", "org-PLANTED12345", "proj_Ab3dE6gH", "sess-0123456789",
     "dummy-op********-key",
     "org-abcdefghijklmnopqrst", "sk-ab****************yz"],
)  # fmt: skip
def test_ids_of_the_account_are_masked(name: str) -> None:
    """Keys, masked keys, organisations and projects are covered."""
    assert replies.without_account(f"Limit in '{name}' on tokens") == "Limit in '…' on tokens"


@pytest.mark.parametrize(
    "text",
    ["Unknown parameter: 'session_id'.", "sketching a sky", "an organization-wide project_name", "org-wide, sk-learn",
     "skeleton: {'projects': ['sess']}", "a session-based organisation", "2 * 3 ** 4, ****"],
)  # fmt: skip
def test_words_are_left_alone(text: str) -> None:
    """Only ids are masked."""
    assert replies.without_account(text) == text
