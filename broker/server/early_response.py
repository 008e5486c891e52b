"""The answer to a request that never reaches the app: the last one on its connection."""

import http
import json
from collections.abc import Mapping

from broker.errors import bodies
from broker.errors.base import Fault


def last_answer(fault: Fault, headers: Mapping[str, str]) -> bytes:
    """The whole answer, head and body, to a request that never reached the app, and the last on its connection."""
    body = json.dumps(bodies.contracts(fault)).encode() + b"\n"
    fields = {"Connection": "close", "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {fault.status} {http.HTTPStatus(fault.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
