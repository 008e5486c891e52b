"""Requests that never reach the app: gunicorn cannot read them, or two readers would read them in two ways."""

import re
from typing import Any

from gunicorn.http import errors

from broker.errors.base import Fault
from broker.errors.request import ExpectationUnknown, HeadTooLarge, RequestMalformed, TargetTooLong

_OF_ERROR = {
    errors.LimitRequestLine: TargetTooLong,
    errors.LimitRequestHeaders: HeadTooLarge,
    errors.ExpectationFailed: ExpectationUnknown,
}


def fault_of(error: BaseException) -> Fault:
    """The fault that gunicorn's `error` stands for: the client's, where it came from reading the request."""
    if isinstance(error, errors.ParseException):
        return _OF_ERROR.get(type(error), RequestMalformed)()
    return Fault()


_HOST = re.compile(r"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?", re.ASCII)  # RFC 3986, 3.2.2


def check(request: Any) -> None:
    """Raises `InvalidRequestLine` or `InvalidHeader` where gunicorn's `request` is readable in two ways.

    One host in HTTP/1.1, and a well-formed one (RFC 9112, 3.2); and a path whose first segment is not
    empty: to some readers what follows two slashes is a host (RFC 3986, 4.2).
    """
    if request.path.startswith("//"):
        raise errors.InvalidRequestLine("//")
    host = next((value for name, value in request.headers if name == "HOST"), None)
    if host is None and request.version < (1, 1):
        return
    if host is None or not _HOST.fullmatch(host):
        raise errors.InvalidHeader("HOST")
