"""Looking names up, in threads of its own: a name server that does not answer holds up nothing else."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from contactship_common.outbound.addresses import Address

Resolver = Callable[[str, int], Awaitable[list[Address]]]

_threads = ThreadPoolExecutor(max_workers=32, thread_name_prefix="outbound-dns")


async def resolve(host: str, port: int) -> list[Address]:
    """Every address of the name, in the system's order of preference.

    Raises:
        OSError: there is no such name, or no name server answered.
    """
    found = await asyncio.get_running_loop().run_in_executor(_threads, _look_up, host, port)
    return list(dict.fromkeys(ipaddress.ip_address(address) for address in found))


def _look_up(host: str, port: int) -> list[str]:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty or longer than 63
        raise OSError("not a name") from error
    return [str(address[0]) for _, _, _, _, address in answers]
