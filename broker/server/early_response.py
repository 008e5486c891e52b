"""The error response to a request that gunicorn cannot parse. It is the last one on its connection."""

import http
import json
from collections.abc import Mapping

from broker.errors import bodies
from broker.errors.base import Fault


def response_bytes(fault: Fault, headers: Mapping[str, str]) -> bytes:
    """The whole response for `fault`, head and body, with `Connection: close` and these extra header fields."""
    body = json.dumps(bodies.contracts(fault)).encode() + b"\n"
    fields = {"Connection": "close", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {fault.status} {http.HTTPStatus(fault.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
