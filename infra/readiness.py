"""Tells systemd that the stack is ready or stops, where systemd started it and wants to know."""

import socket


def notify(address: str, state: str) -> bool:
    """Send a line such as ``READY=1`` to the socket that systemd named, and return whether there is one."""
    if not address:
        return False
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(state.encode(), address)
    return True
