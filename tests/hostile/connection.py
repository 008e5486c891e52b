"""A client that writes raw bytes, and the processor time of a server process."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass
class Answer:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes


def exchange(port: int, written: bytes, expected: int, *, cut: bool = False) -> list[Answer]:
    """Write, and read every response: the `expected` ones and any unexpected ones."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        _write(client, written, cut=cut)
        reader, answers = client.makefile("rb"), []
        while answer := _read(reader):
            answers.append(answer)
            if len(answers) >= expected:
                client.settimeout(0.01)
        return answers


def _write(client: socket.socket, written: bytes, *, cut: bool) -> None:
    client.settimeout(5)
    try:
        client.sendall(written)
        if cut:
            client.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server may close before it has read everything


def _read(reader: BinaryIO) -> Answer | None:
    try:
        line = reader.readline()
    except (TimeoutError, ConnectionResetError):
        return None
    if not line:
        return None
    headers = {}
    while field := reader.readline().strip():
        name, _, value = field.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Answer(int(line.split()[1]), headers, reader.read(int(headers.get("content-length", 0))))


def processor_seconds(pid: int) -> float:
    """Processor time of a process, over all of its threads (`schedstat` counts nanoseconds)."""
    stats = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in stats) / 1e9
