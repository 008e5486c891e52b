"""What the stand-ins note of an exchange, by which the ledger is checked."""

import asyncio
import socket

import pytest

from deploy.local.exchange import Exchange, Request

TEXT = b'data: {"choices": [{"delta": {"content": "Tides"}}]}\n\n'


@pytest.mark.parametrize("is_there", [True, False])
def test_an_answer_begins_only_for_a_peer_that_is_there(*, is_there: bool) -> None:
    """One that has hung up gets none, also where the event loop has not come to hear of it."""
    theirs, ours = socket.socketpair()

    async def speak() -> Exchange:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        exchange = Exchange(Request("POST", "/", {}, {}, b'{"stream": true}'), transport, asyncio.Event())
        if not is_there:
            theirs.close()
        exchange.chunk(TEXT)
        transport.abort()
        return exchange

    assert (asyncio.run(speak()).first_text_at is not None) is is_there
    theirs.close()
