import socket

from cluster.network import interface_of


def test_an_interface_is_found_by_an_address_of_this_host() -> None:
    name = interface_of("127.0.0.1")
    assert name in [name for _, name in socket.if_nameindex()]
    assert name.startswith("lo")


def test_an_address_of_another_host_has_no_interface_here() -> None:
    assert interface_of("192.0.2.255") is None
