"""The bodies of OpenAI's responses as they come in: a stream read by read, any other whole.

Reads are bounded by time-outs, and broken into when the call is.
"""

from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from broker.active_calls import OpenCall
from broker.errors.base import Fault
from broker.errors.openai import OpenAITimeout, OpenAIUnreachable, StreamBroken
from broker.openai.transport.response import Response

LAST_WAIT = 1.0  # seconds for the end of a stream that has said all
MAX_REPLY_BYTES = 16 * 1024 * 1024


_NO_FIELDS = requests.structures.CaseInsensitiveDict[str]()


class _Silence(OpenAITimeout):
    """Nothing came for as long as a read may wait. The connection is as good as before."""


class Stream:
    """An open answer. Iterate over `reads`; `close` it whatever happens."""

    def __init__(self, response: requests.Response, call: OpenCall, silence: float) -> None:
        self.request_id = request_id(response)
        response.headers = _NO_FIELDS  # a stream is open for long
        self._response = response
        self._call = call
        self._silence = silence

    def reads(self, patience: float | None = None) -> Iterator[bytes]:
        """The body's bytes, all that one receive brought at a time, to its end.

        With `patience`: also b"" each time that nothing has come for so many seconds. Raises `OpenAITimeout`
        after too long a silence, `StreamBroken` where it is cut, or what broke into the call. OpenAI is hung up on
        before that: whoever hears of the fault may have to wait for Redis, and OpenAI would go on meanwhile.
        """
        wait = min(patience or self._silence, self._silence)
        _set_timeout(self._response, wait)
        silent = 0.0
        while True:
            try:
                with self._call:
                    data = _read1(self._response.raw)
            except _Silence:
                silent += wait
                if silent >= self._silence:
                    self.close()
                    raise
                _set_timeout(self._response, wait)  # the one that is over is over
                data = b""
            except Fault:
                self.close()
                raise
            else:
                silent = 0.0
                if not data:
                    return
            yield data

    def expect_end(self) -> None:
        """Nothing more is to come but the end: wait for it no longer than a moment."""
        self._silence = LAST_WAIT
        _set_timeout(self._response, LAST_WAIT)

    def close(self) -> None:
        """Give the connection back if the body was read to its end; else hang up, so that OpenAI stops."""
        self._response.close()


def _read1(raw: Any) -> bytes:
    try:
        data: bytes = raw.read1()
    except (ReadTimeoutError, TimeoutError):
        raise _Silence from None
    except (HTTPError, HTTPException, OSError):
        raise StreamBroken from None
    return data


def read_whole(response: requests.Response) -> bytes:
    """The body of a reply, whole. Raises `OpenAITimeout`, or `OpenAIUnreachable` where it is cut."""
    parts, size = [], 0
    try:
        while data := _read1(response.raw):
            parts.append(data)
            size += len(data)
            if size > MAX_REPLY_BYTES:
                raise StreamBroken
    except StreamBroken:
        raise OpenAIUnreachable from None
    finally:
        response.close()
    return b"".join(parts)


def _set_timeout(response: requests.Response, seconds: float) -> None:
    """How long a read may wait from now on; until now it was the time for the first byte."""
    if isinstance(response.raw, Response):
        response.raw.set_timeout(seconds)


def request_id(response: requests.Response) -> str | None:
    """OpenAI's own id for the request: https://platform.openai.com/docs/api-reference/debugging-requests."""
    return response.headers.get("x-request-id")
