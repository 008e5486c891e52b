"""Requests that are rejected before the app."""

from types import SimpleNamespace

import pytest
from gunicorn.http import errors

from broker.server.request_validation import check, cors_fields, fault_of


def request(host: str | None, path: str = "/health", version: tuple[int, int] = (1, 1)) -> SimpleNamespace:
    headers = [("ACCEPT", "*/*")] + ([("HOST", host)] if host is not None else [])
    return SimpleNamespace(headers=headers, path=path, version=version)


@pytest.mark.parametrize(
    "host",
    [
        "x",
        "gpt.example.com",
        "gpt.example.com:8011",
        "127.0.0.1:80",
        "[::1]:8011",
        "redis_stack",
        "",
        "xn--e1a.example",
    ],
)
def test_every_form_of_host_is_accepted(host: str) -> None:
    """RFC 3986, 3.2.2, defines them."""
    check(request(host))


@pytest.mark.parametrize("host", [None, "a b", "a/b", "a@b", "[::1", "::1", "x:port", "x:123456", "a\\b", 'a"b', "ä"])
def test_an_invalid_host_is_refused(host: str | None) -> None:
    """A missing one is invalid in HTTP/1.1."""
    with pytest.raises(errors.InvalidHeader):
        check(request(host))


def test_http_1_0_has_no_host() -> None:
    """Some probes use HTTP/1.0."""
    check(request(None, version=(1, 0)))


def test_a_path_does_not_begin_with_two_slashes() -> None:
    """Some parsers read a host after them, others a path."""
    with pytest.raises(errors.InvalidRequestLine):
        check(request("x", "//metrics"))
    check(request("x", "//v1/models"))  # a base URL with a slash too many


@pytest.mark.parametrize(("error", "status"), [
    (errors.InvalidRequestLine("x"), 400), (errors.UnsupportedTransferCoding("x"), 400),
    (errors.InvalidHeader("x"), 400),    (errors.LimitRequestLine(9, 8), 414), (errors.LimitRequestHeaders("x"), 431),
    (errors.ExpectationFailed("x"), 417),
    (errors.ConfigurationProblem("x"), 400), (KeyError("x"), 500),
])  # fmt: skip
def test_unreadable_requests_are_the_callers_fault(error: Exception, status: int) -> None:
    """Any other exception is a server error."""
    assert fault_of(error).status == status


A, B = "https://a.example", "https://b.example"


@pytest.mark.parametrize(("origins", "head", "allowed"), [
    (("*",), b"", "*"), ((A, "*"), b"", "*"), ((A, B), b"GET /\r\nORIGIN:  https://b.example\r\nX", B),
    ((A,), b"GET /\r\nOrigin: https://b.example\r\n", None), ((A, B), b"GET / origin: https://a.example", None),
    ((A,), b"x\r\nOrigin: https://a.example", None), ((A,), b"", None),
])  # fmt: skip
def test_a_page_may_read_the_error(origins: tuple[str, ...], head: bytes, allowed: str | None) -> None:
    """Its origin must be allowed, and received as a whole field."""
    assert cors_fields(origins, head).get("Access-Control-Allow-Origin") == allowed
