"""Turns OpenAI's status, headers and body into data or a fault. Pure. No other module reads a status of OpenAI's.

Errors: https://platform.openai.com/docs/guides/error-codes. Retry rule: that of OpenAI's own SDKs (openai-python,
`_base_client.py`).
"""

import email.utils
import json
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.errors.base import Fault
from broker.errors.openai import (
    NotStored,
    OpenAIBroken,
    OpenAINonsense,
    OpenAIOutOfQuota,
    OpenAIRateLimited,
    OpenAIRefusedBroker,
    OpenAIRefusedKey,
    OpenAIWaited,
    ParameterUnsupported,
    RefusedByOpenAI,
    UpstreamFault,
)
from broker.openai.counting import token_estimate
from broker.openai.counting.token_usage import with_tier

Headers = Mapping[str, str]
NO_QUOTA = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    }
)
UNSUPPORTED = frozenset({"unsupported_value", "unsupported_parameter"})
# the Responses API and older models send a null code, and the same sentences
_UNSUPPORTED_SENTENCE = re.compile(
    r"Unsupported (?:parameter|value)|Function tools with reasoning_effort are not supported"
)
# what OpenAI's messages repeat of an account: keys (masked ones too), organisations, projects
# (an id has a digit, a capital or an asterisk in it, or is long, so that "session_id" and "org-wide" are left alone)
_ACCOUNT = re.compile(
    r"\b(?:sk|org|proj|sess)[-_](?:(?=[\w*-]*[\dA-Z*])[\w*-]{6,}|[a-z]{16,})|\b[\w-]{2,}\*{4,}[\w*-]*"
)
_OF_STATUS = {
    401: OpenAIRefusedKey,
    403: OpenAIRefusedBroker,
    404: OpenAIRefusedBroker,
    408: OpenAIWaited,
    409: OpenAIBroken,
}
_STORED = re.compile(r"\b(?:[Rr]esponse|[Ii]tem) with id\b.* not found")
FIRST_WAIT, LONGEST_WAIT, JITTER = 0.5, 8.0, 0.25  # seconds, seconds, share


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole completion: its text, OpenAI's `usage` object with the tier, and the body as received."""

    text: str = field(repr=False)
    usage: dict[str, Any]
    body: bytes = field(repr=False)

    @property
    def estimated_tokens(self) -> int:
        """The estimated tokens of the text, for a server that sends no usage."""
        return token_estimate.output_tokens(token_estimate.text_size(self.text))


def read_reply(status: int, body: bytes) -> dict[str, Any]:
    """Return the JSON object of a reply with status 200.

    Raises `RefusedByOpenAI` if the caller's input is wrong, and an `UpstreamFault` for any other failure.
    """
    content = _read_object(body)
    if status == 200:
        if content is None or content.get("error"):
            raise OpenAINonsense
        return content
    raise _fault(status, _error_of(content))


def read_answer(status: int, body: bytes) -> Answer:
    """Return the answer in a chat completion. A refusal is used if there is no content. Raises as `read_reply`."""
    content = read_reply(status, body)
    try:
        message = content["choices"][0]["message"]
        text = message.get("content") or message.get("refusal") or ""
        usage = content.get("usage") or {}
    except (AttributeError, IndexError, KeyError, TypeError):
        raise OpenAINonsense from None
    if not isinstance(text, str) or not isinstance(usage, dict):
        raise OpenAINonsense
    return Answer(text, with_tier(usage, content), body)


def retry_after(headers: Headers, now: float) -> float | None:
    """Return the seconds that OpenAI asks to wait, or None: `retry-after-ms`, else `retry-after` (seconds or a date).

    `headers` are looked up by lower-case names.
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    if (seconds := _number(text)) is not None or text is None:
        return seconds
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):  # OverflowError: a year beyond the calendar's range
        return None


def back_off(attempt: int) -> float:
    """Return the seconds to wait after failed attempt number `attempt` (from 0): exponential, with jitter."""
    return float(min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * (1 - JITTER * random.random()))  # noqa: S311 - jitter


def without_account(text: str) -> str:
    """Return `text` with the names of the operator's OpenAI account masked."""
    return _ACCOUNT.sub("…", text)


def _fault(status: int, error: dict[str, str]) -> Fault:
    if status in (400, 413, 422):
        return _refusal(error)
    if status == 404 and _STORED.search(error["message"]):
        return _not_stored(error)
    if status == 429:
        return _limit(error)
    if status >= 500:
        return OpenAIBroken()
    return _OF_STATUS.get(status, UpstreamFault)()


def _refusal(error: dict[str, str]) -> RefusedByOpenAI:
    sentence = without_account(error["message"]) or None
    details = {"openai": {"code": error["code"] or None, "param": error["param"] or None}}
    if error["code"] in UNSUPPORTED or _UNSUPPORTED_SENTENCE.match(error["message"]):
        return ParameterUnsupported(sentence, details=details)
    return RefusedByOpenAI(sentence, details=details)


def _not_stored(error: dict[str, str]) -> NotStored:
    details = {"openai": {"code": error["code"] or None, "param": error["param"] or None}}
    return NotStored(without_account(error["message"]), details=details)


def _limit(error: dict[str, str]) -> Fault:
    if error["code"] in NO_QUOTA or error["type"] in NO_QUOTA:
        return OpenAIOutOfQuota()
    if error["message"].startswith("Request too large"):  # larger than the limit per minute: a retry cannot succeed
        return RefusedByOpenAI("The request has more tokens than OpenAI accepts from this broker; shorten it")
    return OpenAIRateLimited()


def _error_of(content: dict[str, Any] | None) -> dict[str, str]:
    """Return the members of OpenAI's error object, '' for each that is not a string."""
    error = content.get("error") if content else None
    members = error if isinstance(error, dict) else {}
    found = {name: members.get(name) for name in ("message", "type", "param", "code")}
    return {name: value if isinstance(value, str) else "" for name, value in found.items()}


def _read_object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None
