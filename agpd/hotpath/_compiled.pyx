# cython: language_level=3, boundscheck=True, wraparound=False, nonecheck=True, cdivision=True
"""The hot path, compiled; `_pure.py` is its twin and says what each part does.

Rules that keep it safe: a frame is looked at only after its length was compared, as a 64-bit number, with what the
buffer still has; buffers are immutable bytes that the caller or a local variable holds.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    LENGTH_SIZE = 4
    PREFIX_SIZE = 24
    REST_MINIMUM = 20
    FIRST_DATA_KIND = 0x80
    LAST_DATA_KIND = 0x82


cdef inline uint16_t u16(const uint8_t* at) noexcept nogil:
    return <uint16_t>(<uint32_t>at[0] << 8 | at[1])


cdef inline uint32_t u32(const uint8_t* at) noexcept nogil:
    return <uint32_t>at[0] << 24 | <uint32_t>at[1] << 16 | <uint32_t>at[2] << 8 | at[3]


cdef inline uint64_t u64(const uint8_t* at) noexcept nogil:
    return <uint64_t>u32(at) << 32 | u32(at + 4)


def scan(bytes data not None, Py_ssize_t position, Py_ssize_t limit):
    """The consecutive whole data frames from `position` on, and where the next frame begins."""
    cdef const uint8_t* buffer = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef const uint8_t* at
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef uint64_t length
    cdef list found = []
    if position < 0:
        raise ValueError("position is negative")
    while size - position >= PREFIX_SIZE:
        at = buffer + position
        length = u32(at)
        if not FIRST_DATA_KIND <= at[4] <= LAST_DATA_KIND or length < REST_MINIMUM:
            break
        if length + LENGTH_SIZE > <uint64_t>(size - position) or <Py_ssize_t>(length + LENGTH_SIZE) > limit:
            break
        body = PyBytes_FromStringAndSize(<const char*>at + PREFIX_SIZE, <Py_ssize_t>length - REST_MINIMUM)
        found.append((at[4], at[5], u16(at + 6), u32(at + 8), u32(at + 12), u64(at + 16), body))
        position += <Py_ssize_t>length + LENGTH_SIZE
    return found, position


include "client.pxi"
