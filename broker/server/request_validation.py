"""Requests that are rejected before the app, because gunicorn cannot parse them or they are ambiguous, and the error
response to them.
"""

import http
import json
import re
from collections.abc import Mapping
from typing import Any

from gunicorn.http import errors

from broker.errors import bodies
from broker.errors.base import Fault
from broker.errors.request import ExpectationUnknown, HeadTooLarge, RequestMalformed, TargetTooLong

_OF_ERROR = {
    errors.LimitRequestLine: TargetTooLong,
    errors.LimitRequestHeaders: HeadTooLarge,
    errors.ExpectationFailed: ExpectationUnknown,
}


def fault_of(error: BaseException) -> Fault:
    """The fault for gunicorn's `error`: a client error if parsing the request failed, otherwise a server error."""
    if isinstance(error, errors.ParseException):
        return _OF_ERROR.get(type(error), RequestMalformed)()
    return Fault()


_HOST = re.compile(r"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?", re.ASCII)  # RFC 3986, 3.2.2


def check(request: Any) -> None:
    """Raise `InvalidRequestLine` or `InvalidHeader` if gunicorn's `request` is ambiguous.

    HTTP/1.1 requires one well-formed Host (RFC 9112, 3.2). A path must not begin with two slashes: some
    parsers read a host after them (RFC 3986, 4.2). `//v1/` comes from a base URL with a slash too many, and
    is read as `/v1/`.
    """
    if request.path.startswith("//") and not request.path.startswith("//v1/"):
        raise errors.InvalidRequestLine("//")
    host = next((value for name, value in request.headers if name == "HOST"), None)
    if host is None and request.version < (1, 1):
        return
    if host is None or not _HOST.fullmatch(host):
        raise errors.InvalidHeader("HOST")


def response_bytes(fault: Fault, headers: Mapping[str, str]) -> bytes:
    """The whole response for `fault`, head and body, with `Connection: close` and these extra header fields."""
    body = json.dumps(bodies.contracts(fault)).encode() + b"\n"
    fields = {"Connection": "close", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {fault.status} {http.HTTPStatus(fault.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
