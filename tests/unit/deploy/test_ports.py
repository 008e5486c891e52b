"""Free ports for the programs that tests start."""

import socket

from deploy.local.broker_process import free_port, is_free

EPHEMERAL = 32_768  # first port for outgoing connections: ip_local_port_range in ip(7)


def test_a_port_is_given_out_once_and_to_no_connection() -> None:
    """A test may expect the port to be closed, so no other program may listen on it."""
    ports = [free_port() for _ in range(500)]
    assert len(set(ports)) == 500
    assert max(ports) < EPHEMERAL


def test_a_port_is_not_free_while_a_socket_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)
