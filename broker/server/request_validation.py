"""Requests that are rejected before the app, because gunicorn cannot parse them or they are ambiguous, and the error
response to them.
"""

import http
import json
import re
from collections.abc import Mapping
from typing import Any

from gunicorn.http import errors, message
from gunicorn.http.parser import RequestParser

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


_ORIGIN = re.compile(rb"\r\norigin:[ \t]*([!-~]+)[ \t]*\r\n", re.IGNORECASE)
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


# the names have no "_", which gunicorn refuses: some servers take it for "-"
_PLAIN_FIELDS = re.compile(rb"(?:[!#$%&'*+.^`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)+")
HEAD_BYTES = (
    65_536  # of a request's head; gunicorn's own limit is the product of its limits, and it scans the head anew
)


class Request(message.Request):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's request with a smaller head, whose errors carry the bytes that were received."""

    _received: bytes | bytearray = b""

    @property
    def max_buffer_headers(self) -> int:
        """The most bytes of the header fields."""
        return HEAD_BYTES

    @max_buffer_headers.setter
    def max_buffer_headers(self, _: int) -> None:
        """Ignore the product that gunicorn computes."""

    def read_into(self, unreader: Any, buf: bytearray, *arguments: Any, **options: Any) -> Any:
        """Read more of the head."""
        self._received = buf
        return super().read_into(unreader, buf, *arguments, **options)

    def parse_headers(self, data: Any, from_trailer: Any = False) -> Any:  # noqa: FBT002 - gunicorn's signature
        """Parse the header fields, at once if they are plain. gunicorn checks one at a time."""
        lines = data.decode("latin-1").split("\r\n")
        is_long = len(lines) > self.limit_request_fields or len(max(lines, key=len)) + 2 > self.limit_request_field_size
        if from_trailer or is_long or not _PLAIN_FIELDS.fullmatch(data + b"\r\n"):
            return super().parse_headers(data, from_trailer)
        fields = [(name.upper(), value.strip(" \t")) for name, _, value in [line.partition(":") for line in lines]]
        names = {name for name, _ in fields}
        if len(names) < len(fields) or "EXPECT" in names:
            return super().parse_headers(data)
        schemes = self.cfg.secure_scheme_headers
        if not names.isdisjoint(schemes):  # nginx sends one; gunicorn sets the scheme
            named = [line for line, (name, _) in zip(lines, fields, strict=True) if name in schemes]
            super().parse_headers("\r\n".join(named).encode("latin-1"))
        return fields

    def parse(self, unreader: Any) -> Any:
        """Parse the head."""
        try:
            return super().parse(unreader)
        except errors.ParseException as error:
            error.received = bytes(self._received)
            raise


RequestParser.mesg_class = Request


def cors_fields(origins: tuple[str, ...], received: bytes) -> dict[str, str]:
    """The CORS fields of a response to a request that was `received` in part: its origin, if that is allowed."""
    if "*" in origins:
        return {"Access-Control-Allow-Origin": "*"}
    found = _ORIGIN.search(received)
    origin = found[1].decode("latin-1") if found else ""
    allowed = {"Access-Control-Allow-Origin": origin} if origin in origins else {}
    return {"Vary": "Origin"} | allowed


def response_bytes(fault: Fault, headers: Mapping[str, str]) -> bytes:
    """The whole response for `fault`, head and body, with `Connection: close` and these extra header fields."""
    body = json.dumps(bodies.contracts(fault)).encode() + b"\n"
    fields = {"Connection": "close", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {fault.status} {http.HTTPStatus(fault.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
