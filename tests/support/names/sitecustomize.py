"""On the PYTHONPATH of a process under test: names below .test and .lan are this machine.

Only for asyncio's own loop; uvloop asks the system by itself.
"""

from __future__ import annotations

import socket
from typing import Any

_real = socket.getaddrinfo


def _getaddrinfo(host: Any, *more: Any, **named: Any) -> Any:
    if isinstance(host, str) and host.endswith((".test", ".lan")):
        host = "127.0.0.1"
    return _real(host, *more, **named)


socket.getaddrinfo = _getaddrinfo
