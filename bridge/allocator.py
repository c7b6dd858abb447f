"""What glibc's malloc is told of this program, before its first thread starts.

Left to itself it gives each thread an arena of its own, up to eight for a core, and what one frees
there no other takes: with the threads of the store that was a fifth of the daemon's memory. One
lock for all costs nothing here, as the threads take turns anyway. And it would hand each chunk of
message bytes back to the kernel, to get the same pages again, zeroed, for the next one.

Rules: an allocator that does not know this (musl, macOS) is left as it is; nothing depends on it.
"""

from __future__ import annotations

import ctypes

# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_REUSED = 4 * 1024 * 1024  # octets of the largest block that is not asked of the kernel alone
_SPARE = 8 * 1024 * 1024  # octets that are kept for the next blocks, once nobody uses them


def configure() -> bool:
    """Whether the allocator took it."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    taken = mallopt(_M_ARENA_MAX, 1)
    taken &= mallopt(_M_MMAP_THRESHOLD, _REUSED)
    taken &= mallopt(_M_TRIM_THRESHOLD, _SPARE)
    return bool(taken)
