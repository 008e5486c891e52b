"""Sends requests to OpenAI, with retries and time-outs. No other module does.

A `requests.Session` merges environment proxies, cookies and `.netrc` into each call. Here a prepared template goes
straight to the pooled adapter, at half the cost.
"""

import copy
import functools
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from broker.active_calls import OpenCall
from broker.errors.base import Fault
from broker.errors.network import words_of
from broker.errors.openai import OpenAINonsense, OpenAIRateLimited, OpenAITimeout, OpenAIUnreachable, UpstreamFault
from broker.openai import replies
from broker.openai.keys import Keys
from broker.openai.refused_parameters import RefusedParameters
from broker.openai.requests.json_body import encode
from broker.openai.streaming.body_stream import Stream, read_whole, request_id
from broker.settings.settings import Settings
from broker.transport.connections import Adapter
from broker.transport.options import openai_options

log = logging.getLogger(__name__)

RECENT = 10.0  # seconds for which a connection failure counts as the current state

Body = dict[str, Any]
COMPLETIONS, RESPONSES = "/chat/completions", "/responses"
Changes = tuple[str, ...]  # the parameters that were left out because the model refuses them


@dataclass(frozen=True, slots=True)
class WholeReply:
    """A whole answer, OpenAI's id for the request, and the parameters that were left out."""

    answer: replies.Answer
    request_id: str | None
    changes: Changes


def _ignore(_: str) -> None:
    pass


class Upstream:
    """One worker's client for OpenAI. Built before the fork; connects with the first call."""

    def __init__(
        self, settings: Settings, retried: Callable[[str], None], disconnected: Callable[[str], None] = _ignore
    ) -> None:
        """`retried` gets the fault's code before each retry, `disconnected` the kind of a failed connection."""
        self._settings = settings
        self._retried = retried
        self._disconnected = disconnected
        self._failure = ("", 0.0)  # the kind of the last connection failure since the last success, and its time
        self._host = urlsplit(settings.openai_base_url).hostname
        self._adapter = Adapter(settings.openai_base_url, openai_options(settings))
        self.keys = Keys(settings.openai_api_keys)
        self._templates = {path: self._template("POST", path) for path in (COMPLETIONS, RESPONSES)}
        self._models = self._template("GET", "/models")
        self.refused = RefusedParameters(settings.droppable_parameters)

    def ask(self, body: Body, call: OpenCall, *, retry: bool = True) -> WholeReply:
        """Return the whole answer to `body`, a chat completion request.

        `retry`: ask again after a failure that may pass. Raises a `RefusedByOpenAI`, an `UpstreamFault`, or the fault
        that interrupts the call.
        """
        response, changes = self.open(COMPLETIONS, body, call, retry=retry)
        with call:
            content = read_whole(response)
        return WholeReply(replies.read_answer(response.status_code, content), request_id(response), changes)

    def open_stream(self, body: Body, call: OpenCall, *, retry: bool = True) -> tuple[Stream, Changes]:
        """Return an open stream with status 200 and an unread body. Raises as `ask`."""
        usage = {**body.get("stream_options", {}), "include_usage": True}
        body = {**body, "stream": True, "stream_options": usage}
        response, changes = self.open(COMPLETIONS, body, call, retry=retry)
        return Stream(response, call, self._settings.openai_silence_timeout), changes

    def list_models(self) -> list[dict[str, Any]]:
        """Return OpenAI's description of each model that the key may use. No retries. Raises as `ask`."""
        content = self.keys.call(lambda: self._read(self._send(self._models, self._settings.openai_connect_timeout)))
        data = content.get("data")
        return [model for model in data if isinstance(model, dict)] if isinstance(data, list) else []

    @property
    def unreachable(self) -> str | None:
        """The kind of the last connection failure if it is recent and no request has succeeded since."""
        kind, at = self._failure
        return kind if kind and time.monotonic() - at < RECENT else None

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def open(self, path: str, body: Body, call: OpenCall, *, retry: bool) -> tuple[requests.Response, Changes]:
        """POST `body`; return a response with status 200 and an unread body. Raises as `ask`."""
        retries = self._settings.openai_max_retries if retry else 0
        attempt = functools.partial(self._attempt, self._templates[path], call)
        return self.refused.ask(body, lambda accepted: self._with_retries(lambda: attempt(accepted), call, retries))

    def fetch(self, method: str, target: str, call: OpenCall) -> bytes:
        """Return the reply to a request without a body. No retries. Raises as `ask`."""

        def attempt() -> bytes:
            response = self._send(self._template(method, target), self._settings.openai_first_byte_timeout)
            if response.status_code != 200:
                self._read(response)
            return read_whole(response)

        with call:
            return self.keys.call(attempt)

    def _with_retries(
        self, attempt_once: Callable[[], requests.Response], call: OpenCall, retries: int
    ) -> requests.Response:
        for attempt in itertools.count():
            try:
                return self.keys.call(attempt_once)
            except UpstreamFault as fault:
                wait = replies.back_off(attempt) if fault.retry_after is None else fault.retry_after
                if not (fault.retryable and attempt < retries and wait <= self._settings.openai_max_retry_after):
                    fault.should_retry &= retries == 0 or isinstance(fault, OpenAIRateLimited)
                    raise
                self._retried(fault.code)
                call.awaits_openai = False
                with call:
                    time.sleep(wait)
        raise AssertionError  # the loop has no end

    def _attempt(self, template: requests.PreparedRequest, call: OpenCall, body: Body) -> requests.Response:
        """Send one request; return the response if its status is 200."""
        limits = self._settings
        first_byte = limits.openai_first_byte_timeout if body.get("stream") else limits.openai_call_timeout
        request = copy.copy(template)  # its own `copy` method makes a cookie jar each time
        request.body = encode(body)
        with call:
            call.awaits_openai = True
            response = self._send(request, first_byte)
            if response.status_code != 200:
                call.awaits_openai = False
                self._read(response)
        return response

    def _send(self, request: requests.PreparedRequest, first_byte: float) -> requests.Response:
        timeout = (self._settings.openai_connect_timeout, first_byte)
        request = self.keys.sign(request)
        try:
            response = self._adapter.send(request, stream=True, timeout=timeout)
        except requests.ReadTimeout:
            raise OpenAITimeout from None
        except HTTPException:  # OpenAI has done its work: it is not asked again
            raise OpenAINonsense from None
        except (requests.RequestException, HTTPError, OSError) as error:
            raise self._unreachable(error) from None
        self._failure = ("", 0.0)
        return response

    def _unreachable(self, error: BaseException) -> OpenAIUnreachable:
        fault = OpenAIUnreachable.because_of(error)
        self._disconnected(fault.kind)
        self._failure = (fault.kind, time.monotonic())
        about = {"kind": fault.kind, "host": self._host, "reason": words_of(error)}
        log.warning("OpenAI cannot be reached", extra=about)
        return fault

    def _read(self, response: requests.Response) -> dict[str, Any]:
        try:
            return replies.read_reply(response.status_code, read_whole(response))
        except Fault as fault:
            if isinstance(fault, UpstreamFault):
                fields = {name.lower(): value for name, value in response.headers.items()}
                fault.retry_after = replies.retry_after(fields, time.time())
            about = {"status": response.status_code, "code": fault.code, "openai_id": request_id(response)}
            log.info("OpenAI answered with an error", extra=about)
            raise

    def _template(self, method: str, path: str) -> requests.PreparedRequest:
        headers = {
            "Authorization": f"Bearer {self.keys.first}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "gpt-broker",
        }
        return requests.Request(method, self._settings.openai_base_url + path, headers=headers).prepare()
