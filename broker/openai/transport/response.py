"""Responses from OpenAI whose body comes as the network brings it: all that one receive brought, at once. http.client
hands out one HTTP chunk at a time though many more lie in its buffer, and OpenAI sends a chunk for every token.
"""

from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Self

from broker.openai.transport import heads
from broker.openai.transport.channel import Channel


class Response:
    """A response whose head is read. It has what is needed of `requests.Response`, under the same names."""

    __slots__ = ("_body", "_channel", "_give_back", "_rest", "headers", "status_code")

    def __init__(self, channel: Channel, give_back: Callable[[Channel], None]) -> None:
        """Reads the head. `give_back` gets the channel once the body is read, if the channel can serve again.

        Raises OSError, or `http.client.HTTPException` where this is no response.
        """
        self._rest = b""
        self._channel: Channel | None = channel
        head = self._read_head(channel)
        self._body = head.framing()
        self._give_back = give_back if head.keeps_connection and not self._body.ends_with_connection else _close
        self.status_code = head.status
        self.headers: Mapping[str, str] = head.fields  # names in lower case

    @property
    def raw(self) -> Self:
        """What the body is read from."""
        return self

    def read1(self, _: int = -1) -> bytes:
        """The payload that one receive brings, b"" at the end. Raises OSError, or `HTTPException` where it is cut."""
        if self._channel is None:
            return b""
        payload = b""
        while not payload and not self._body.complete:
            data = self._rest or self._channel.receive()
            self._rest = b""
            if not data:
                if not self._body.ends_with_connection:
                    raise HTTPException("the body is cut")
                break
            payload = self._body.feed(data)
        if not payload or self._body.complete:
            channel, self._channel = self._channel, None
            self._give_back(channel)
        return payload

    def set_timeout(self, seconds: float) -> None:
        """How long each wait may take from now on."""
        if self._channel is not None:
            self._channel.set_timeout(seconds)

    def close(self) -> None:
        """Hang up, unless the body was read to its end."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _read_head(self, channel: Channel) -> heads.Head:
        data = b""
        while True:
            text, end, rest = data.partition(heads.END)
            if end and (head := heads.Head(text)).is_final:
                self._rest = rest
                return head
            if end:
                data = rest
                continue
            if len(data) > heads.MAX_HEAD:
                raise HTTPException("a head without end")
            received = channel.receive()
            if not received:
                raise ConnectionResetError("closed before a response")
            data += received


def _close(channel: Channel) -> None:
    channel.close()
