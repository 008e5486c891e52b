"""OpenAI over HTTP: the only requests to it. Sends, retries, times out, and reads a stream as it comes.

One `requests` session a worker would merge environment proxies, cookies and `.netrc` into each
call; here a prepared template goes straight to the pooled adapter.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from typing import Any

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from broker import replies
from broker.connections import READ_SIZE, Adapter
from broker.faults import BodyNotJson, Fault
from broker.open_calls import OpenCall
from broker.openai_faults import OpenAITimeout, OpenAIUnreachable, StreamBroken, TemperatureRefused, UpstreamFault
from broker.settings import Settings

log = logging.getLogger(__name__)

POOL_SIZE = 10_000  # connections kept for reuse: as many as there may be streams at once
LAST_WAIT = 1.0  # seconds for the end of a stream that has said all
MAX_REPLY_BYTES = 16 * 1024 * 1024
Body = dict[str, Any]


class Upstream:
    """OpenAI, as one worker sees it. Built before the fork; connects with the first call."""

    def __init__(self, settings: Settings, retried: Callable[[str], None]) -> None:
        """`retried` is told the code of each fault after which OpenAI is asked again."""
        self._settings = settings
        self._retried = retried
        self._adapter = Adapter(pool_connections=1, pool_maxsize=POOL_SIZE)
        self._completions = self._template("POST", "/chat/completions")
        self._models = self._template("GET", "/models")
        self._without_temperature: set[str] = set()

    def ask(self, body: Body, call: OpenCall) -> tuple[replies.Answer, str | None]:
        """The whole answer to `body` (a chat completion request), and OpenAI's id for the request.

        Raises a `RefusedByOpenAI`, an `UpstreamFault`, or what broke into the call.
        """
        response = self._with_retries(body, call)
        with call:
            content = replies.read_reply(response.status_code, _whole(response))
        return replies.read_answer(content), _request_id(response)

    def open_stream(self, body: Body, call: OpenCall) -> "Stream":
        """The answer as it arrives: opened, with a status of 200, nothing of it read. Faults as `ask`."""
        usage = {**body.get("stream_options", {}), "include_usage": True}
        response = self._with_retries({**body, "stream": True, "stream_options": usage}, call)
        return Stream(response, call, self._settings.openai_silence_timeout)

    def list_models(self) -> list[dict[str, Any]]:
        """What OpenAI says of each model that the key may use. Raises as `ask`; tries once."""
        content = self._read(self._send(self._models, self._settings.openai_connect_timeout))
        data = content.get("data")
        return [model for model in data if isinstance(model, dict)] if isinstance(data, list) else []

    def close(self) -> None:
        """Close the connections that wait for reuse."""
        self._adapter.close()

    def _with_retries(self, body: Body, call: OpenCall) -> requests.Response:
        if body.get("model") in self._without_temperature:
            body = _without_temperature(body)
        attempt = 0
        while True:
            try:
                return self._attempt(body, call)
            except TemperatureRefused:
                if "temperature" not in body:
                    raise
                self._remember_refusal(body["model"])
                body = _without_temperature(body)
            except UpstreamFault as fault:
                wait = replies.back_off(attempt) if fault.retry_after is None else fault.retry_after
                attempt += 1
                if not self._worth_another(fault, attempt, wait):
                    raise
                self._retried(fault.code)
                with call:
                    time.sleep(wait)

    def _worth_another(self, fault: UpstreamFault, attempt: int, wait: float) -> bool:
        limits = self._settings
        return fault.retryable and attempt <= limits.openai_max_retries and wait <= limits.openai_max_retry_after

    def _attempt(self, body: Body, call: OpenCall) -> requests.Response:
        """One request, and its response if that has status 200."""
        request = self._completions.copy()
        request.body = _encode(body)
        request.headers["Content-Length"] = str(len(request.body))
        with call:
            response = self._send(request, self._settings.openai_first_byte_timeout)
            if response.status_code != 200:
                self._read(response)
        return response

    def _send(self, request: requests.PreparedRequest, first_byte: float) -> requests.Response:
        timeout = (self._settings.openai_connect_timeout, first_byte)
        try:
            return self._adapter.send(request, stream=True, timeout=timeout)
        except requests.ReadTimeout:
            raise OpenAITimeout from None
        except (requests.RequestException, HTTPError, OSError):
            raise OpenAIUnreachable from None

    def _read(self, response: requests.Response) -> dict[str, Any]:
        try:
            return replies.read_reply(response.status_code, _whole(response))
        except Fault as fault:
            if isinstance(fault, UpstreamFault):
                fault.retry_after = replies.retry_after(_lower(response), time.time())
            log.info(
                "OpenAI answered with an error",
                extra={"status": response.status_code, "code": fault.code, "openai_id": _request_id(response)},
            )
            raise

    def _remember_refusal(self, model: str) -> None:
        if model not in self._without_temperature:
            log.warning("model refuses 'temperature': it is asked without from now on", extra={"model": model})
        self._without_temperature.add(model)

    def _template(self, method: str, path: str) -> requests.PreparedRequest:
        headers = {
            "Authorization": f"Bearer {self._settings.openai_api_key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "gpt-broker",
        }
        return requests.Request(method, self._settings.openai_base_url + path, headers=headers).prepare()


class Stream:
    """An open answer. Iterate over `reads`; `close` it whatever happens."""

    def __init__(self, response: requests.Response, call: OpenCall, silence: float) -> None:
        self.request_id = _request_id(response)
        self._response = response
        self._call = call
        _set_timeout(response, silence)

    def reads(self) -> Iterator[bytes]:
        """The body's bytes, all that one receive brought at a time, to its end.

        Raises `OpenAITimeout` after too long a silence, `StreamBroken` where it is cut, or what broke
        into the call.
        """
        raw = self._response.raw
        while True:
            with self._call:
                data = _read1(raw)
            if not data:
                return
            yield data

    def expect_end(self) -> None:
        """Nothing more is to come but the end: wait for it no longer than a moment."""
        _set_timeout(self._response, LAST_WAIT)

    def close(self) -> None:
        """Give the connection back if the body was read to its end; else hang up, so that OpenAI stops."""
        self._response.close()


def _read1(raw: Any) -> bytes:
    try:
        data: bytes = raw.read1(READ_SIZE)
    except ReadTimeoutError:
        raise OpenAITimeout from None
    except (HTTPError, HTTPException, OSError):
        raise StreamBroken from None
    return data


def _whole(response: requests.Response) -> bytes:
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
    connection = getattr(response.raw, "connection", None)
    if connection is not None and connection.sock is not None:
        connection.sock.settimeout(seconds)


def _without_temperature(body: Body) -> Body:
    return {name: value for name, value in body.items() if name != "temperature"}


def _encode(body: Mapping[str, object]) -> bytes:
    """The body as JSON. Raises `BodyNotJson` where the caller put a NaN or an Infinity into it."""
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        raise BodyNotJson from None


def _lower(response: requests.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _request_id(response: requests.Response) -> str | None:
    return response.headers.get("x-request-id")
