"""How this process's allocator treats memory that a training step frees."""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
LARGEST = 2**31 - 1
OF_A_PERSON = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next step instead of returning it to the system.

    On a CPU every step frees and allocates the same tensors, and the system zeroes each page that it hands
    out. Results and peak memory stay the same. Nothing happens if the environment configures or replaces the
    allocator, or if the C library has no ``mallopt``.
    """
    if any(os.environ.get(name) for name in OF_A_PERSON):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, LARGEST)
