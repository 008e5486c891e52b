"""Failures of the stand-in for OpenAI, by name."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

from deploy.local.exchange import Exchange
from deploy.local.replies import Recorded
from deploy.local.shapes import completion, error

Options = dict[str, Any]
Behaviour = Callable[[Exchange, list[bytes], Options], Awaitable[None]]
STREAM = {"content-type": "text/event-stream; charset=utf-8", "x-request-id": "req_" + "5" * 32}


async def silent(exchange: Exchange, _: list[bytes], __: Options) -> None:
    """Never answer."""
    await exchange.left.wait()


async def silent_after_headers(exchange: Exchange, _: list[bytes], __: Options) -> None:
    """Send a head with status 200, then nothing."""
    exchange.start(200, STREAM)
    await exchange.left.wait()


async def slow_to_start(exchange: Exchange, events: list[bytes], options: Options) -> None:
    """Send a complete answer after `delay` seconds."""
    if not await exchange.pause(options.get("delay", 0.5)):
        return
    if exchange.request.json().get("stream"):
        exchange.start(200, STREAM)
        exchange.chunk(b"".join(events))
        exchange.finish()
    else:
        exchange.reply(200, completion("gpt-4o", "Late."), {"x-request-id": STREAM["x-request-id"]})


async def silent_mid_stream(exchange: Exchange, events: list[bytes], options: Options) -> None:
    """Send some events, then nothing."""
    await _send_some(exchange, events, options)
    await exchange.left.wait()


async def pause(exchange: Exchange, events: list[bytes], options: Options) -> None:
    """Send `events` events and `bytes` more bytes, pause for `seconds`, then send the rest."""
    body, first = b"".join(events), len(b"".join(events[: options.get("events", 0)])) + options.get("bytes", 0)
    exchange.start(200, STREAM)
    if first:
        exchange.chunk(body[:first])
    if await exchange.pause(options.get("seconds", 1.0)):
        exchange.chunk(body[first:])
        exchange.finish()


async def cut_before_headers(exchange: Exchange, _: list[bytes], options: Options) -> None:
    """Close the connection instead of answering."""
    await exchange.pause(options.get("seconds", 0.0))
    exchange.cut(reset=bool(options.get("reset")))


async def cut_mid_stream(exchange: Exchange, events: list[bytes], options: Options) -> None:
    """Send some events, then close the connection."""
    await _send_some(exchange, events, options)
    await exchange.pause(0.05)
    exchange.cut(reset=bool(options.get("reset")))


async def garbage_json(exchange: Exchange, _: list[bytes], __: Options) -> None:
    """Send status 200 with invalid JSON."""
    exchange.reply(200, b'{"choices": [{"mess', {"x-request-id": STREAM["x-request-id"]})


async def garbage_event(exchange: Exchange, events: list[bytes], options: Options) -> None:
    """Send some events, then one with invalid JSON."""
    await _send_some(exchange, events, options)
    exchange.chunk(b"data: {not json\n\n")
    exchange.finish()


async def clumps(exchange: Exchange, events: list[bytes], options: Options) -> None:
    """Send one to ten events in each write."""
    chance = random.Random(options.get("seed", 1))
    exchange.start(200, STREAM)
    while events:
        size = chance.randint(1, 10)
        exchange.chunk(b"".join(events[:size]))
        events = events[size:]
        await exchange.pause(0.002)
    exchange.finish()


async def split(exchange: Exchange, events: list[bytes], options: Options) -> None:
    """Send the stream in tiny pieces that split characters."""
    chance = random.Random(options.get("seed", 1))
    body = b"".join(events)
    exchange.start(200, STREAM)
    while body:
        size = chance.randint(1, 9)
        exchange.chunk(body[:size])
        body = body[size:]
        await exchange.pause(0.0005)
    exchange.finish()


async def no_done(exchange: Exchange, events: list[bytes], _: Options) -> None:
    """Send a stream without `[DONE]`."""
    exchange.start(200, STREAM)
    exchange.chunk(b"".join(event for event in events if b"[DONE]" not in event))
    exchange.finish()


async def events(exchange: Exchange, _: list[bytes], options: Options) -> None:
    """The events in `body`, a text, `delay` seconds apart."""
    exchange.start(200, STREAM)
    for block in str(options["body"]).encode().split(b"\n\n"):
        if block:
            exchange.chunk(block + b"\n\n")
            await exchange.pause(options.get("delay", 0.0))
    exchange.finish()


async def rate_limited(exchange: Exchange, _: list[bytes], options: Options) -> None:
    """Send 429 with `retry-after` and `retry-after-ms` from the options."""
    wait = {name: str(value) for name, value in options.items() if name.startswith("retry-after")}
    message = "Rate limit reached for gpt-4o-mini in organization org-PLANTEDPLANTEDPLANTED12."
    exchange.reply(429, error(message, "requests", code="rate_limit_exceeded"), wait)


async def raw(exchange: Exchange, _: list[bytes], options: Options) -> None:
    """Send `data`, bytes as they are, and close the connection."""
    exchange.send(options.get("data", b""))
    exchange.cut()


BEHAVIOURS: dict[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (
        silent, silent_after_headers, slow_to_start, silent_mid_stream, pause, cut_before_headers, cut_mid_stream,
        garbage_json, garbage_event, clumps, split, no_done, events, rate_limited, raw,
    )
}  # fmt: skip


async def replay(exchange: Exchange, reply: Recorded, delay: float) -> None:
    """Send a recorded reply. Stream events are `delay` seconds apart."""
    if not reply.is_stream:
        exchange.reply(reply.status, reply.body, reply.headers)
        return
    exchange.start(reply.status, reply.headers)
    for block in reply.body.split(b"\n\n"):
        if block:
            exchange.chunk(block + b"\n\n")
            await exchange.pause(delay)
    exchange.finish()


async def _send_some(exchange: Exchange, events: list[bytes], options: Options) -> None:
    exchange.start(200, STREAM)
    for event in events[: options.get("events", 3)]:
        exchange.chunk(event)
        await exchange.pause(options.get("delay", 0.0))
