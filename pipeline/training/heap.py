"""Memory that a rank frees is kept for its next step: fresh pages are dear.

By default glibc hands blocks of more than 32 MB, and what lies free at the end of the heap, back to the kernel, which has
to clear every page again in the next step: on a virtual machine a twelfth of the CPU time of training the mini size.
"""

import ctypes
import platform

KEPT_BYTES = 1 << 30
"""Blocks up to this size come from the heap, and so much of it may lie free."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h."""


def keep_freed_memory() -> None:
    """Let this process keep what it frees; does nothing where the C library is another one than glibc."""
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        for setting in (MMAP_THRESHOLD, TRIM_THRESHOLD):
            library.mallopt(setting, KEPT_BYTES)
