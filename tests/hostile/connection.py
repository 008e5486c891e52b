"""A client that writes what it likes, and the processor time that a program spends on it."""

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
    """Write, and read every answer that comes: `expected` of them, and any that nobody asked for."""
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
        pass  # it need not be heard out


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
    """What a process has spent so far, in all of its threads: `schedstat` counts nanoseconds."""
    stats = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in stats) / 1e9
