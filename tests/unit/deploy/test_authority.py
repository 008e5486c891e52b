"""The authority of the stand-ins: its certificates pass the strict checks that Python 3.13 makes by default."""

import socket
import ssl

from deploy.local.authority import Authority
from tests.servers import ScriptedServer


def test_strict_clients_accept_its_server(authority: Authority) -> None:
    """RFC 5280: key identifiers, and the authority's key usage."""
    context = ssl.create_default_context(cafile=authority.file)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    server = ScriptedServer([b"hello"], authority.server_context())
    plain = socket.create_connection(("127.0.0.1", server.port))
    with context.wrap_socket(plain, server_hostname="localhost") as sock:
        sock.sendall(b"x")
        assert sock.recv(5) == b"hello"
    server.close()
