"""Requests that are rejected before the app."""

from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import errors, message
from gunicorn.http.unreader import IterUnreader

from broker.server.request_validation import Request, check, cors_fields, fault_of


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


PLAIN = [b"Host: x", b"Origin:https://a.example", b"Accept: \t a, b\t ", b"X-Empty:", b"Authorization: Bearer a:b.c"]


def fields(kind: type[Any], lines: list[bytes], head: bytes = b"POST /x HTTP/1.1") -> Any:
    """Return the parsed fields, or the class of the error that refuses them."""
    config = Config()
    for name, value in {"limit_request_fields": 8, "limit_request_field_size": 60, "forwarder_headers": ""}.items():
        config.set(name, value)
    try:
        request = kind(config, IterUnreader([b"\r\n".join([head, *lines, b"", b""])]), ("127.0.0.1", 1))
    except errors.ParseException as error:
        return type(error)
    return request.headers, request.scheme, request._expected_100_continue, request.must_close


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"X: 1", b"X: 2"],
        [b"Host: y"],
        [b"Content-Type: a", b"content-type: b"],
        [b"Expect: 100-continue"],
        [b"Expect: other"],
        [b"X-Forwarded-Proto: https"],
        [b"X-Forwarded-Proto: http"],
        [b"X-Forwarded-Proto: https", b"X-Forwarded-Ssl: on"],
        [b"X-Forwarded-Proto: https", b"X-Forwarded-Ssl: off"],
        [b"X-Forwarded-Proto: https", b"X: 1", b"X: 2"],
        [b"X_Y: 1"],
        [b"SCRIPT_NAME: /a"],
        [b"X y: 1"],
        [b"X : 1"],
        [b": 1"],
        [b"X"],
        [b" folded"],
        [b"\tfolded: 1"],
        [b"X\xe4: 1"],
        [b"X: \xe4\xff\x80"],
        [b"X: a\x00b"],
        [b"X: a\rb"],
        [b"X: a\nb: c"],
        [b"X: \x7f"],
        [b"X: \x1f"],
        [b"X: " + b"a" * 55],
        [b"X: " + b"a" * 56],
        [b"X%d: 1" % number for number in range(3)],
        [b"X%d: 1" % number for number in range(4)],
        [b"Content-Length: 0"],
        [b"Content-Length: 1", b"Content-Length: 1"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 1"],
        [b"!#$%&'*+-.^`|~: 1"],
    ],
)
def test_fields_are_parsed_and_refused_as_by_gunicorn(lines: list[bytes]) -> None:
    """Plain fields take a shorter way."""
    assert fields(Request, PLAIN + lines) == fields(message.Request, PLAIN + lines)
    assert fields(Request, lines + PLAIN) == fields(message.Request, lines + PLAIN)


def test_plain_fields_take_the_shorter_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser's and an SDK's are plain. Of nginx's, gunicorn reads the one that names the scheme."""
    seen: list[bytes] = []
    monkeypatch.setattr(message.Request, "parse_headers", lambda _, data, *__: seen.append(data))
    parsed, *_ = fields(Request, [*PLAIN, b"X-Forwarded-Proto: https"])
    assert parsed[2:4] == [("ACCEPT", "a, b"), ("X-EMPTY", "")]
    assert parsed[-1] == ("X-FORWARDED-PROTO", "https")
    assert seen == [b"X-Forwarded-Proto: https"]
