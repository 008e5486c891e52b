"""A client that asks, and leaves while OpenAI is silent."""

import json
import socket
import time
from typing import Any

from deploy.local.broker_process import BrokerProcess
from deploy.local.openai_api import OpenAIStandIn
from tests.integration.conftest import User
from tests.integration.waiting import within


def post(user: User, path: str, body: object) -> bytes:
    """The bytes of a request, for clients that send them as they like."""
    text = json.dumps(body)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\nContent-Length: {len(text)}\r\n"
    return f"{head}\r\n{text}".encode()


def connect(broker: BrokerProcess, said: bytes) -> socket.socket:
    """A client that has said this, and can hang up at any time."""
    client = socket.create_connection(("127.0.0.1", broker.port))
    client.sendall(said)
    return client


def leave_in_silence(broker: BrokerProcess, openai: OpenAIStandIn, user: User, path: str, body: object) -> None:
    """Ask, wait until OpenAI has been asked and says nothing, and hang up: OpenAI is hung up on within a second."""
    with connect(broker, post(user, path, body)):
        within(3, openai.completions)
        time.sleep(0.2)
        seen = openai.completions()[0]
        assert seen.end == "under way"
    assert within(1, lambda: seen.end == "peer left") < 1
    within(1, lambda: lines_of(broker, user))
    assert lines_of(broker, user)[0]["outcome"] == "client_left"


def lines_of(broker: BrokerProcess, user: User) -> list[dict[str, Any]]:
    """What the log says of the user's requests."""
    return [line for line in broker.journal() if line["user"] == user.id]
