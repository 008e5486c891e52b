"""The stand-ins' record of an exchange, which ledger tests rely on."""

import asyncio
import socket

import pytest

from deploy.local.exchange import Exchange, Request

TEXT = b'data: {"choices": [{"delta": {"content": "Tides"}}]}\n\n'


@pytest.mark.parametrize("is_connected", [True, False])
def test_an_answer_begins_only_for_a_connected_peer(*, is_connected: bool) -> None:
    """A disconnected peer gets none, even before the event loop notices."""
    theirs, ours = socket.socketpair()

    async def speak() -> Exchange:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        exchange = Exchange(Request("POST", "/", {}, {}, b'{"stream": true}'), transport, asyncio.Event())
        if not is_connected:
            theirs.close()
        exchange.chunk(TEXT)
        transport.abort()
        return exchange

    assert (asyncio.run(speak()).first_text_at is not None) is is_connected
    theirs.close()
