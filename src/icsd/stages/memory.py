"""How this process's allocator treats memory that a training step frees."""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGEST = 2**31 - 1
OF_A_PERSON = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")


def keep_freed_memory() -> None:
    """Let glibc keep what is freed, for the next step, instead of handing it to the system.

    A step on a CPU frees and asks for the same tensors, and the system clears every page that it gives. No
    result depends on it, nor does the peak of the memory. Nothing happens where the environment says what
    the allocator is or does, or the C library has no such settings.
    """
    if any(os.environ.get(name) for name in OF_A_PERSON):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, LARGEST)
