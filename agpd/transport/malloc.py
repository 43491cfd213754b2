"""Lets the C library keep the memory of large buffers instead of handing it back and taking it again.

Reads and writes are buffers of some hundred KiB each. By default glibc returns such memory to the kernel soon after
it is freed, and the next buffer costs a page fault for every 4 KiB. Measured with 256-byte messages at full load, the
setting saves 10 % of the gateway's processor time in plaintext and 25 % with TLS; up to 16 MiB stay with the process.
"""

import ctypes

# <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
MMAP_THRESHOLD_BYTES = 4 * 1024 * 1024
TRIM_THRESHOLD_BYTES = 16 * 1024 * 1024


def keep_large_buffers() -> bool:
    """For this whole process, so only where the process is the gateway's own. False: another C library, no change."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES), (_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES))
    return all(mallopt(name, value) == 1 for name, value in settings)
