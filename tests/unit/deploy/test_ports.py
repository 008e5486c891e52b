"""Ports for what the tests start: nothing else comes to listen there before it does."""

import socket

from deploy.local.broker_process import free_port, is_free

KERNELS_OWN = 32_768  # from here on it gives ports to outgoing connections: ip_local_port_range of ip(7)


def test_a_port_is_given_out_once_and_to_no_connection() -> None:
    """Else nginx might be given the port at which a test has said that nobody is."""
    ports = [free_port() for _ in range(500)]
    assert len(set(ports)) == 500
    assert max(ports) < KERNELS_OWN


def test_a_port_is_taken_while_somebody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)
