"""Exchanges with a server, over TCP and TLS: what is kept, what is thrown away, and what an accident becomes."""

import datetime
import http.client
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker.openai.transport import connections
from broker.openai.transport.connections import Adapter
from tests.servers import ScriptedServer

SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: req_1\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def clients() -> "Iterator[list[Client]]":
    """Those of the test, which are closed after it."""
    made: list[Client] = []
    yield made
    for client in made:
        client.adapter.close()
        client.server.close()


class Client:
    """What asks a server that says these things."""

    def __init__(self, clients: "list[Client]", *responses: bytes | None, tls: ssl.SSLContext | None = None) -> None:
        self.server = ScriptedServer(responses, tls)
        clients.append(self)
        self._url = f"{'https' if tls else 'http'}://localhost:{self.server.port}/v1"
        self.adapter = Adapter(self._url)

    def ask(self, body: bytes = b"{}", read: float = 5.0) -> Any:
        request = requests.Request("POST", self._url + "/x?y=z").prepare()
        request.body = body
        return self.adapter.send(request, stream=True, timeout=(5.0, read))


def whole(response: Any) -> bytes:
    parts = []
    while data := response.raw.read1():
        parts.append(data)
    return b"".join(parts)


def test_a_request_is_sent_whole_and_a_response_read_whole(clients: list[Client]) -> None:
    """Request line, host, fields, body; status, fields, body."""
    client = Client(clients, SHORT)
    response = client.ask(b'{"a": 1}')
    assert (response.status_code, response.headers.get("x-request-id"), whole(response)) == (200, "req_1", b"hi")
    head, _, body = client.server.received[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[:2] == [b"POST /v1/x?y=z HTTP/1.1", b"Host: localhost:%d" % client.server.port]
    assert [line for line in lines if line.lower().startswith(b"content-length")] == [b"Content-Length: 8"]
    assert body == b'{"a": 1}'


def test_a_connection_is_used_again_once_its_body_is_read(clients: list[Client]) -> None:
    """To its end, whatever frames it."""
    client = Client(clients, SHORT, CHUNKED + b"1\r\na\r\n0\r\n\r\n", SHORT)
    assert [whole(client.ask()) for _ in range(3)] == [b"hi", b"a", b"hi"]
    assert client.server.connections == 1


def test_a_body_that_is_left_costs_the_connection(clients: list[Client]) -> None:
    """So that OpenAI stops."""
    client = Client(clients, CHUNKED + b"1\r\na\r\n", SHORT)
    response = client.ask()
    assert response.raw.read1() == b"a"
    response.close()
    assert whole(client.ask()) == b"hi"
    assert client.server.connections == 2


def test_a_connection_that_went_stale_is_replaced(clients: list[Client]) -> None:
    """Servers close what is idle for long."""
    client = Client(clients, SHORT, None, SHORT)
    whole(client.ask())
    with pytest.raises(requests.ConnectionError):
        client.ask()
    assert whole(client.ask()) == b"hi"


def test_a_word_that_nobody_asked_for_costs_the_connection(clients: list[Client]) -> None:
    """It would be taken for the next answer."""
    client = Client(clients, SHORT + b"HTTP/1.1 200 OK\r\n\r\n", SHORT)
    response = client.ask()
    with pytest.raises(http.client.HTTPException):
        whole(response)
    response.close()
    assert whole(client.ask()) == b"hi"


def test_words_before_the_answer_are_passed_over(clients: list[Client]) -> None:
    """RFC 9110, 15.2."""
    client = Client(clients, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + SHORT)
    assert whole(client.ask()) == b"hi"


def test_silence_is_a_time_out(clients: list[Client]) -> None:
    """Before the head, and within the body; each wait has its own time."""
    client = Client(clients, b"", CHUNKED + b"1\r\na\r\n")
    began = time.monotonic()
    with pytest.raises(requests.ReadTimeout):
        client.ask(read=0.2)
    response = client.ask(read=5.0)
    assert response.raw.read1() == b"a"
    response.raw.set_timeout(0.2)
    with pytest.raises(TimeoutError):
        response.raw.read1()
    response.close()
    assert 0.4 <= time.monotonic() - began < 2


def test_what_came_while_the_worker_was_busy_is_no_silence(clients: list[Client]) -> None:
    """A head or a part of a body that was here in time is read, however late the event loop comes to look."""
    client = Client(clients, CHUNKED, b"1\r\na\r\n")
    loop = gevent.get_hub().loop
    loop.run_callback(time.sleep, 0.5)  # nothing else is done meanwhile
    response = client.ask(read=0.2)
    response._channel.send(b"go on")
    loop.run_callback(time.sleep, 0.5)
    assert response.raw.read1() == b"a"
    with pytest.raises(TimeoutError):
        response.raw.read1()
    response.close()


@pytest.mark.parametrize("saying", [None, b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
def test_no_response_is_a_lost_connection(clients: list[Client], saying: bytes | None) -> None:
    """As requests has it."""
    with pytest.raises(requests.ConnectionError):
        Client(clients, saying).ask()


@pytest.mark.parametrize("cut", [b"5\r\nhel", b"5\r\nhello\r\n", b""])
def test_a_body_that_is_cut_is_an_error(clients: list[Client], cut: bytes) -> None:
    """Never a short answer."""
    response = Client(clients, CHUNKED + cut, None).ask()
    response.raw.set_timeout(0.2)
    with pytest.raises((http.client.HTTPException, OSError)):
        whole(response)
    response.close()


def test_a_body_without_a_length_ends_with_its_connection(clients: list[Client]) -> None:
    """And the connection is not used again."""
    client = Client(clients, b"HTTP/1.0 200 OK\r\n\r\nall", SHORT)
    response = client.ask()
    assert response.raw.read1() == b"all"
    response.close()
    assert whole(client.ask()) == b"hi"


def test_a_large_body_is_sent_whole(clients: list[Client]) -> None:
    """However often the kernel takes no more."""
    body = b"x" * 3_000_000
    client = Client(clients, *[b""] * 2000)
    with pytest.raises(requests.ReadTimeout):
        client.ask(body, read=1.0)
    assert sum(map(len, client.server.received)) > len(body)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A certificate for localhost with its key, in a file."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now.replace(year=now.year + 1)
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = tmp_path / "authority.pem"
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, *form) + certificate)
    return file


def serving(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    return context


def test_a_server_that_nobody_vouches_for_is_refused(clients: list[Client], authority: Path) -> None:
    """The key goes to OpenAI alone."""
    client = Client(clients, SHORT, tls=serving(authority))
    with pytest.raises(requests.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        client.ask()
    assert client.server.received == []


def test_over_tls_it_is_the_same(clients: list[Client], authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also an answer larger than a record, and a connection used again."""
    trusting = ssl.create_default_context(cafile=str(authority))
    monkeypatch.setattr(connections, "_tls_context", lambda: trusting)
    large = CHUNKED + b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n0\r\n\r\n"
    client = Client(clients, large, SHORT, tls=serving(authority))
    assert whole(client.ask()) == b"x" * 1_000_000
    assert whole(client.ask()) == b"hi"
    assert client.server.connections == 1


@pytest.mark.parametrize("is_tls", [True, False])
def test_a_wait_in_vain_leaves_the_connection_as_it_was(
    clients: list[Client], authority: Path, monkeypatch: pytest.MonkeyPatch, *, is_tls: bool
) -> None:
    """A stream's silence is noticed by it, again and again; what comes at last is whole, and the connection is kept."""
    trusting = ssl.create_default_context(cafile=str(authority))
    monkeypatch.setattr(connections, "_tls_context", lambda: trusting)
    responses = (CHUNKED + b"5\r\nhel", b"lo\r\n0\r\n\r\n", SHORT)
    client = Client(clients, *responses, tls=serving(authority) if is_tls else None)
    response = client.ask()
    assert response.raw.read1() == b"hel"
    for _ in range(3):
        response.raw.set_timeout(0.05)
        with pytest.raises(TimeoutError):
            response.raw.read1()
    response._channel.send(b"go on")
    response.raw.set_timeout(5)
    assert whole(response) == b"lo"
    assert whole(client.ask()) == b"hi"
    assert client.server.connections == 1
