"""Sends requests to OpenAI, with retries and time-outs. No other module does.

A `requests.Session` merges environment proxies, cookies and `.netrc` into each call. Here a prepared template goes
straight to the pooled adapter, at half the cost.
"""

import copy
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from broker.active_calls import OpenCall
from broker.errors.base import BodyNotJson, Fault
from broker.errors.openai import OpenAITimeout, OpenAIUnreachable, TemperatureRefused, UpstreamFault
from broker.openai import replies
from broker.openai.streaming.body_stream import Stream, read_whole, request_id
from broker.openai.transport.connections import Adapter
from broker.settings.settings import Settings

log = logging.getLogger(__name__)

Body = dict[str, Any]


class Upstream:
    """One worker's client for OpenAI. Built before the fork; connects with the first call."""

    def __init__(self, settings: Settings, retried: Callable[[str], None]) -> None:
        """`retried` is called with the fault's code before each retry."""
        self._settings = settings
        self._retried = retried
        self._adapter = Adapter(settings.openai_base_url)
        self._completions = self._template("POST", "/chat/completions")
        self._models = self._template("GET", "/models")
        self._without_temperature: set[str] = set()

    def ask(self, body: Body, call: OpenCall) -> tuple[replies.Answer, str | None]:
        """Return the whole answer to `body` (a chat completion request), and OpenAI's id for the request.

        Raises a `RefusedByOpenAI`, an `UpstreamFault`, or the fault that interrupts the call.
        """
        response = self._with_retries(body, call)
        with call:
            reply = read_whole(response)
        return replies.read_answer(response.status_code, reply), request_id(response)

    def open_stream(self, body: Body, call: OpenCall) -> Stream:
        """Return an open stream with status 200, of which nothing has been read. Raises as `ask`."""
        usage = {**body.get("stream_options", {}), "include_usage": True}
        response = self._with_retries({**body, "stream": True, "stream_options": usage}, call)
        return Stream(response, call, self._settings.openai_silence_timeout)

    def list_models(self) -> list[dict[str, Any]]:
        """Return OpenAI's description of each model that the key may use. No retries. Raises as `ask`."""
        content = self._read(self._send(self._models, self._settings.openai_connect_timeout))
        data = content.get("data")
        return [model for model in data if isinstance(model, dict)] if isinstance(data, list) else []

    def close(self) -> None:
        """Close the idle connections."""
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
        """Send one request; return the response if its status is 200."""
        request = copy.copy(self._completions)  # its own `copy` method makes a cookie jar each time
        request.body = _encode(body)
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
            return replies.read_reply(response.status_code, read_whole(response))
        except Fault as fault:
            if isinstance(fault, UpstreamFault):
                fault.retry_after = replies.retry_after(_lower(response), time.time())
            log.info(
                "OpenAI answered with an error",
                extra={"status": response.status_code, "code": fault.code, "openai_id": request_id(response)},
            )
            raise

    def _remember_refusal(self, model: str) -> None:
        if model not in self._without_temperature:
            log.warning("model refuses 'temperature'; it is left out from now on", extra={"model": model})
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


def _without_temperature(body: Body) -> Body:
    return {name: value for name, value in body.items() if name != "temperature"}


def _encode(body: Mapping[str, object]) -> bytes:
    """Return the body as JSON. Raises `BodyNotJson` for NaN or Infinity in the caller's input."""
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        raise BodyNotJson from None


def _lower(response: requests.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
