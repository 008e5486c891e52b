"""Streams from OpenAI that break off."""

from typing import Any

import gevent
import pytest
import requests

from broker.active_calls import OpenCalls
from broker.errors.base import ClientLeft, Fault
from broker.errors.openai import OpenAITimeout, StreamBroken
from broker.openai.streaming.body_stream import Stream
from broker.transport.connections import Adapter
from tests.servers import ScriptedServer

BEGUN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"


@pytest.mark.parametrize("fault", [ClientLeft, OpenAITimeout, StreamBroken])
def test_the_connection_is_closed_before_the_fault_is_raised(fault: type[Fault]) -> None:
    """Handling the fault may wait for Redis; OpenAI would go on generating, at a cost."""
    server = ScriptedServer([BEGUN, None])
    request = requests.Request("POST", f"http://localhost:{server.port}/v1/x").prepare()
    call = OpenCalls(within=60).begin(None)
    response: Any = Adapter(f"http://localhost:{server.port}/v1").send(request, stream=True, timeout=(5, 5))
    reads = Stream(response, call, silence=0.1).reads()
    assert next(reads) == b"a"
    if fault is ClientLeft:
        gevent.get_hub().loop.run_callback(call.interrupt, ClientLeft())
    if fault is StreamBroken:
        response._sock.sendall(b"hang up")
    with pytest.raises(fault):
        next(reads)
    assert response._sock is None
    call.close()
    server.close()
