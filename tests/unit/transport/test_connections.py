"""Exchanges with a server over TCP and TLS: reuse of connections, and faults."""

import http.client
import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
import requests

from broker.errors.network import kind_of
from broker.transport.connections import Adapter
from broker.transport.options import Options
from deploy.local.authority import Authority
from tests.servers import ScriptedServer

SHORT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-Id: req_1\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def clients() -> "Iterator[list[Client]]":
    """The clients of a test, which are closed after it."""
    made: list[Client] = []
    yield made
    for client in made:
        client.adapter.close()
        client.server.close()


class Client:
    """A client of a server with these responses."""

    def __init__(
        self, clients: "list[Client]", *responses: bytes | None, by: Authority | None = None, **options: Any
    ) -> None:
        """`by`: the authority of a server that speaks TLS. `options`: see `Options`."""
        tls = by.server_context() if by else None
        self.server = ScriptedServer(responses, tls)
        clients.append(self)
        self._url = f"{'https' if tls else 'http'}://localhost:{self.server.port}/v1"
        self.adapter = Adapter(self._url, Options(**({"ca_file": by.file} if by else {}) | options))

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
    """Request line, host, fields and body are sent; status, fields and body are read."""
    client = Client(clients, SHORT)
    response = client.ask(b'{"a": 1}')
    assert (response.status_code, response.headers.get("x-request-id"), whole(response)) == (200, "req_1", b"hi")
    head, _, body = client.server.received[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[:2] == [b"POST /v1/x?y=z HTTP/1.1", b"Host: localhost:%d" % client.server.port]
    assert [line for line in lines if line.lower().startswith(b"content-length")] == [b"Content-Length: 8"]
    assert body == b'{"a": 1}'


def test_a_connection_is_used_again_once_its_body_is_read(clients: list[Client]) -> None:
    """Every framing allows it after the end of the body."""
    client = Client(clients, SHORT, CHUNKED + b"1\r\na\r\n0\r\n\r\n", SHORT)
    assert [whole(client.ask()) for _ in range(3)] == [b"hi", b"a", b"hi"]
    assert client.server.connections == 1


def test_an_unread_body_closes_the_connection(clients: list[Client]) -> None:
    """OpenAI stops generating."""
    client = Client(clients, CHUNKED + b"1\r\na\r\n", SHORT)
    response = client.ask()
    assert response.raw.read1() == b"a"
    response.close()
    assert whole(client.ask()) == b"hi"
    assert client.server.connections == 2


def test_a_connection_that_went_stale_is_replaced(clients: list[Client]) -> None:
    """Servers close idle connections; OpenAI cannot have begun an answer on one, so the call does not fail."""
    client = Client(clients, SHORT, None, SHORT)
    whole(client.ask())
    assert whole(client.ask()) == b"hi"
    assert client.server.connections == 2


def test_a_new_connection_that_is_cut_before_a_response_is_not_replaced(clients: list[Client]) -> None:
    """OpenAI may have begun."""
    client = Client(clients, None, SHORT)
    with pytest.raises(requests.ConnectionError):
        client.ask()
    assert client.server.connections == 1


def test_unsolicited_data_closes_the_connection(clients: list[Client]) -> None:
    """It would be taken for the next answer."""
    client = Client(clients, SHORT + b"HTTP/1.1 200 OK\r\n\r\n", SHORT)
    assert whole(client.ask()) == b"hi"
    assert whole(client.ask()) == b"hi"
    assert client.server.connections == 2


def test_interim_responses_are_skipped(clients: list[Client]) -> None:
    """RFC 9110, 15.2, defines them."""
    client = Client(clients, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + SHORT)
    assert whole(client.ask()) == b"hi"


def test_silence_is_a_time_out(clients: list[Client]) -> None:
    """The head and each part of the body have their own limits."""
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


def test_data_that_arrived_while_the_worker_was_busy_is_read(clients: list[Client]) -> None:
    """Data that arrived in time is read, however late the event loop looks at it."""
    client = Client(clients, CHUNKED, b"1\r\na\r\n")
    loop = gevent.get_hub().loop
    loop.run_callback(time.sleep, 0.5)  # nothing else is done meanwhile
    response = client.ask(read=0.2)
    response._sock.sendall(b"go on")
    loop.run_callback(time.sleep, 0.5)
    assert response.raw.read1() == b"a"
    with pytest.raises(TimeoutError):
        response.raw.read1()
    response.close()


def test_no_response_is_a_lost_connection(clients: list[Client]) -> None:
    with pytest.raises(requests.ConnectionError):
        Client(clients, None).ask()


@pytest.mark.parametrize("response", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
def test_a_malformed_response_is_not_a_lost_connection(clients: list[Client], response: bytes) -> None:
    """A lost connection is worth a retry; here OpenAI has answered, and charges for it."""
    with pytest.raises(http.client.HTTPException):
        Client(clients, response).ask()


@pytest.mark.parametrize("cut", [b"5\r\nhel", b"5\r\nhello\r\n", b""])
def test_a_body_that_is_cut_is_an_error(clients: list[Client], cut: bytes) -> None:
    """It is never a short answer."""
    response = Client(clients, CHUNKED + cut, None).ask()
    response.raw.set_timeout(0.2)
    with pytest.raises((http.client.HTTPException, OSError)):
        whole(response)
    response.close()


def test_a_body_without_a_length_ends_with_its_connection(clients: list[Client]) -> None:
    """The connection is not used again."""
    client = Client(clients, b"HTTP/1.0 200 OK\r\n\r\nall", SHORT)
    response = client.ask()
    assert response.raw.read1() == b"all"
    response.close()
    assert whole(client.ask()) == b"hi"


def test_a_large_body_is_sent_whole(clients: list[Client]) -> None:
    """The kernel accepts it in several parts."""
    body = b"x" * 3_000_000
    client = Client(clients, *[b""] * 2000)
    with pytest.raises(requests.ReadTimeout):
        client.ask(body, read=1.0)
    assert sum(map(len, client.server.received)) > len(body)


def test_a_server_without_a_trusted_certificate_is_refused(clients: list[Client], authority: Authority) -> None:
    """The key is sent to OpenAI only."""
    client = Client(clients, SHORT, by=authority, ca_file=None)
    with pytest.raises(requests.ConnectionError) as refused:
        client.ask()
    assert kind_of(refused.value) == "certificate"
    assert client.server.received == []


def test_over_tls_it_is_the_same(clients: list[Client], authority: Authority) -> None:
    """An answer larger than a TLS record is read, and the connection is reused."""
    large = CHUNKED + b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n0\r\n\r\n"
    client = Client(clients, large, SHORT, by=authority)
    assert whole(client.ask()) == b"x" * 1_000_000
    assert whole(client.ask()) == b"hi"
    assert client.server.connections == 1


@pytest.mark.parametrize("is_tls", [True, False])
def test_a_time_out_leaves_the_connection_usable(clients: list[Client], authority: Authority, *, is_tls: bool) -> None:
    """A stream may time out repeatedly; later data is complete, and the connection is kept."""
    responses = (CHUNKED + b"5\r\nhel", b"lo\r\n0\r\n\r\n", SHORT)
    client = Client(clients, *responses, by=authority if is_tls else None)
    response = client.ask()
    assert response.raw.read1() == b"hel"
    for _ in range(3):
        response.raw.set_timeout(0.05)
        with pytest.raises(TimeoutError):
            response.raw.read1()
    response._sock.sendall(b"go on")
    response.raw.set_timeout(5)
    assert whole(response) == b"lo"
    assert whole(client.ask()) == b"hi"
    assert client.server.connections == 1


@pytest.mark.parametrize("is_tls", [True, False])
def test_an_answer_during_an_upload_is_the_answer(clients: list[Client], authority: Authority, *, is_tls: bool) -> None:
    """OpenAI refuses a body that is too large and reads no more of it."""
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
    client = Client(clients, refusal, SHORT, by=authority if is_tls else None)
    client.server.reads_on = False
    began = time.monotonic()
    response = client.ask(b"x" * 20_000_000)
    assert (response.status_code, whole(response)) == (413, b"no")
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("is_tls", [True, False])
def test_an_upload_without_progress_ends_and_delays_no_other_greenlet(
    clients: list[Client], authority: Authority, *, is_tls: bool
) -> None:
    """Other greenlets run on while the server reads nothing."""
    client = Client(clients, b"", by=authority if is_tls else None, upload_timeout=0.5)
    client.server.reads_on = False
    late: list[float] = []

    def tick() -> None:
        while True:
            at = time.monotonic()
            gevent.sleep(0.01)
            late.append(time.monotonic() - at)

    ticking = gevent.spawn(tick)
    began = time.monotonic()
    with pytest.raises(requests.ReadTimeout):
        client.ask(b"x" * 20_000_000)
    ticking.kill()
    assert 0.5 <= time.monotonic() - began < 2
    assert len(late) > 20
    assert sorted(late)[len(late) * 9 // 10] < 0.1


def test_a_large_body_to_a_server_that_reads_late_is_sent_whole(clients: list[Client], authority: Authority) -> None:
    body = b"x" * 5_000_000
    client = Client(clients, *[b""] * 2000, by=authority)
    client.server.delay = 0.001
    with pytest.raises(requests.ReadTimeout):
        client.ask(body, read=0.5)
    assert sum(map(len, client.server.received)) > len(body)
