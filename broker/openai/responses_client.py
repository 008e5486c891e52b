"""Requests to OpenAI's Responses API: https://platform.openai.com/docs/api-reference/responses."""

from urllib.parse import quote, urlencode

from broker.active_calls import OpenCall
from broker.openai.client import RESPONSES, Body, Changes, Upstream
from broker.openai.streaming.body_stream import Stream, read_whole, request_id


class ResponsesClient:
    """One worker's requests for responses. OpenAI is asked once: the clients of this API retry."""

    def __init__(self, upstream: Upstream, silence: float) -> None:
        """`silence`: seconds for which a stream may be silent."""
        self.keys = upstream.keys
        self._upstream = upstream
        self._silence = silence

    def create(self, body: Body, call: OpenCall) -> tuple[bytes, str | None, Changes]:
        """Return the whole answer, OpenAI's id for the request, and the changes. Raises as `Upstream.ask`."""
        response, changes = self._upstream.open(RESPONSES, body, call, retry=False)
        with call:
            return read_whole(response), request_id(response), changes

    def open_stream(self, body: Body, call: OpenCall) -> tuple[Stream, Changes]:
        """Return an open, unread stream and the changes. Raises as `Upstream.ask`."""
        response, changes = self._upstream.open(RESPONSES, {**body, "stream": True}, call, retry=False)
        return Stream(response, call, self._silence), changes

    def stored(self, method: str, path: str, query: list[tuple[str, str]], call: OpenCall) -> bytes:
        """Return the reply to a request about a stored response. `path` is below `/responses/`.

        Raises as `Upstream.ask`, and `NotStored` if OpenAI does not have the response.
        """
        target = f"{RESPONSES}/{quote(path)}" + (f"?{urlencode(query)}" if query else "")
        return self._upstream.fetch(method, target, call)
