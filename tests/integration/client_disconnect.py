"""A client that disconnects while OpenAI is silent."""

import json
import socket
import time
from typing import Any

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from tests.integration.conftest import User
from tests.integration.waiting import within


def post(user: User, path: str, body: object) -> bytes:
    """The bytes of a signed-in POST request, for tests that use a socket directly."""
    text = json.dumps(body)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\nContent-Length: {len(text)}\r\n"
    return f"{head}\r\n{text}".encode()


def connect(broker: BrokerProcess, data: bytes) -> socket.socket:
    """A socket that is connected to the broker and has sent `data`."""
    client = socket.create_connection(("127.0.0.1", broker.port))
    client.sendall(data)
    return client


def disconnect_during_silence(
    broker: BrokerProcess, openai: OpenAIStandIn, user: User, path: str, body: object
) -> None:
    """Send a request, wait until OpenAI has it, and disconnect. OpenAI's connection must close within a second."""
    with connect(broker, post(user, path, body)):
        within(3, openai.completions)
        time.sleep(0.2)
        seen = openai.completions()[0]
        assert seen.end == "under way"
    assert within(1, lambda: seen.end == "peer left") < 1
    within(1, lambda: log_lines_of(broker, user))
    assert log_lines_of(broker, user)[0]["outcome"] == "client_left"


def log_lines_of(broker: BrokerProcess, user: User) -> list[dict[str, Any]]:
    """The log lines of this user's requests."""
    return [line for line in broker.log_lines() if line["user"] == user.id]
