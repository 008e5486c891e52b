"""Kinds of network failures, from exceptions as the libraries raise them."""

import socket
import ssl
from typing import Any

import gevent
import pytest
import redis
import requests
import urllib3

from broker.errors.network import KINDS, kind_of, words_of

POOL: Any = None


def wrapped(inner: BaseException, *, explicit: bool) -> BaseException:
    """Return an unknown exception raised from `inner`, or while `inner` was handled."""
    try:
        try:
            raise inner
        except BaseException as error:
            if explicit:
                raise RuntimeError("redis://:secret@host") from error
            raise RuntimeError("redis://:secret@host")  # noqa: B904 - the context is the case
    except RuntimeError as outer:
        return outer


def refused_certificate() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


CASES: list[tuple[BaseException, str]] = [
    (socket.gaierror(-2, "Name or service not known"), "dns"),
    (ConnectionRefusedError(111, "Connection refused"), "refused"),
    (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "tls"),
    (refused_certificate(), "certificate"),
    (TimeoutError("timed out"), "timeout"),
    (gevent.Timeout(1), "timeout"),
    (redis.TimeoutError("Timeout reading from socket"), "timeout"),
    (ConnectionResetError(104, "Connection reset by peer"), "cut"),
    (BrokenPipeError(32, "Broken pipe"), "cut"),
    (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), "cut"),
    (EOFError(), "cut"),
    (urllib3.exceptions.ProtocolError("Connection broken"), "cut"),
    (urllib3.exceptions.ReadTimeoutError(POOL, "/v1", "secret"), "timeout"),
    (OSError(113, "No route to host"), "other"),
    (ValueError("secret"), "other"),
]


@pytest.mark.parametrize(("error", "kind"), CASES)
@pytest.mark.parametrize("explicit", [True, False])
def test_a_kind_is_found_in_an_error_and_behind_wrappers(error: BaseException, kind: str, explicit: bool) -> None:
    """Cause, context, an argument of requests and urllib3's reason are followed."""
    by_urllib3 = urllib3.exceptions.MaxRetryError(POOL, "/v1", error if isinstance(error, Exception) else None)
    assert kind in KINDS
    assert kind_of(error) == kind
    assert kind_of(wrapped(error, explicit=explicit)) == kind
    assert kind_of(requests.ConnectionError(error)) == kind
    if isinstance(error, Exception):
        assert kind_of(requests.ConnectionError(by_urllib3)) == kind


@pytest.mark.parametrize(("error", "_"), CASES)
def test_words_hold_no_text_of_a_library(error: BaseException, _: str) -> None:
    """A library's text may repeat a URL with a password."""
    assert "secret" not in words_of(wrapped(error, explicit=True))
    assert words_of(error)


def test_words_say_what_went_wrong() -> None:
    assert words_of(wrapped(ConnectionRefusedError(111, "Connection refused"), explicit=True)) == "Connection refused"
    assert words_of(requests.ConnectionError(refused_certificate())) == "self-signed certificate"
    assert words_of(ValueError("secret")) == "ValueError"


def test_a_chain_that_loops_ends() -> None:
    one, other = ValueError(), ValueError()
    one.__cause__, other.__cause__ = other, one
    assert kind_of(one) == "other"
