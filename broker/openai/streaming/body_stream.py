"""Reads the bodies of OpenAI's responses: streams in pieces, others whole.

Each read has a time-out and can be interrupted through its call.
"""

import logging
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

from urllib3.exceptions import HTTPError, ReadTimeoutError

from broker.active_calls import OpenCall
from broker.errors.base import Fault
from broker.errors.network import kind_of, words_of
from broker.errors.openai import OpenAITimeout, OpenAIUnreachable, StreamBroken
from broker.transport import messages
from broker.transport.response import Malformed, Response

log = logging.getLogger(__name__)

LAST_WAIT = 1.0  # seconds to wait for the end of the body after the last event
MAX_REPLY_BYTES = 16 * 1024 * 1024


class _Silence(OpenAITimeout):
    """A read timed out. The connection stays usable."""


class Stream:
    """An open response. Iterate over `reads`, and always `close` it."""

    def __init__(self, response: messages.Response, call: OpenCall, silence: float) -> None:
        self.request_id = request_id(response)
        response.headers = messages.NO_FIELDS  # released, because a stream may stay open for minutes
        self._response = response
        self._call = call
        self._silence = silence

    def reads(self, patience: float | None = None) -> Iterator[bytes]:
        """Yield the body in pieces, one per receive, until its end.

        `patience`: seconds of silence after each of which b"" is yielded. Raises `OpenAITimeout` after `silence`
        seconds without data, `StreamBroken` if the body is cut, or the fault that interrupts the call. The
        connection is closed first: handling the fault may wait for Redis, and OpenAI must stop generating before.
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
                _set_timeout(self._response, wait)  # a time-out applies once
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
        """Wait for the end of the body for `LAST_WAIT` seconds at most, because the last event has arrived."""
        self._silence = LAST_WAIT
        _set_timeout(self._response, LAST_WAIT)

    def close(self) -> None:
        """Return the connection to the pool after the end of the body; otherwise close it, so that OpenAI stops."""
        self._response.close()


def _read1(raw: Any) -> bytes:
    try:
        data: bytes = raw.read1()
    except (ReadTimeoutError, TimeoutError):
        raise _Silence from None
    except Malformed:  # the parser has logged which rule the body breaks
        raise StreamBroken from None
    except (HTTPError, HTTPException, OSError) as error:
        log.warning("OpenAI's answer broke off", extra={"kind": kind_of(error), "reason": words_of(error)})
        raise StreamBroken from None
    return data


def read_whole(response: messages.Response) -> bytes:
    """Return the whole body. Raises `OpenAITimeout`, or `OpenAIUnreachable` if it is cut."""
    pieces, size = [], 0
    try:
        while data := _read1(response.raw):
            pieces.append(data)
            size += len(data)
            if size > MAX_REPLY_BYTES:
                raise StreamBroken
    except StreamBroken:
        raise OpenAIUnreachable from None
    finally:
        response.close()
    return b"".join(pieces)


def _set_timeout(response: messages.Response, seconds: float) -> None:
    """Replace the time-out of the first byte by that of each further read."""
    if isinstance(response.raw, Response):
        response.raw.set_timeout(seconds)


def request_id(response: messages.Response) -> str | None:
    """Return OpenAI's id for the request: https://platform.openai.com/docs/api-reference/debugging-requests."""
    return response.headers.get("x-request-id")
