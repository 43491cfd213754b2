# What the SDK does with every frame; its twin is `_pure_client.py`. Included by `_compiled.pyx`, whose rules hold here.

from cpython.list cimport PyList_Append
from libc.string cimport memcmp, memcpy

cdef enum:
    HEAD_SIZE = 12  # kind to source handle: what the frames of a flow have in common
    ENVELOPE_OVERHEAD_MAXIMUM = 7
    ARRAY_OF_TWO = 0x92
    BIN8 = 0xC4
    BIN16 = 0xC5
    BIN32 = 0xC6
    FIXINT_MAXIMUM = 0x7F


cdef inline Py_ssize_t _payload(const uint8_t* envelope, Py_ssize_t size) noexcept nogil:
    """Where the payload of an envelope begins that is just [payload, small number]; 0 for any other."""
    cdef Py_ssize_t start
    cdef uint64_t length
    if size < 4 or envelope[0] != ARRAY_OF_TWO or envelope[size - 1] > FIXINT_MAXIMUM:
        return 0
    if envelope[1] == BIN8:
        start = 3
        length = envelope[2]
    elif envelope[1] == BIN16 and size >= 5:
        start = 4
        length = u16(envelope + 2)
    elif envelope[1] == BIN32 and size >= 7:
        start = 6
        length = u32(envelope + 2)
    else:
        return 0
    return start if length == <uint64_t>(size - start - 1) else 0


def deliveries(bytes data not None, Py_ssize_t position, Py_ssize_t limit, flows, make, unusual):
    """The consecutive whole data frames from `position` on as messages, and where the next frame begins."""
    cdef const uint8_t* buffer = <const uint8_t*>PyBytes_AS_STRING(data)
    cdef const uint8_t* at
    cdef const uint8_t* head = NULL
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t envelope, start, run_size = 0
    cdef uint64_t length
    cdef list runs = []
    cdef list messages = None
    flow = None
    if position < 0:
        raise ValueError("position is negative")
    while size - position >= PREFIX_SIZE:
        at = buffer + position
        length = u32(at)
        if not FIRST_DATA_KIND <= at[4] <= LAST_DATA_KIND or length < REST_MINIMUM:
            break
        if length + LENGTH_SIZE > <uint64_t>(size - position) or <Py_ssize_t>(length + LENGTH_SIZE) > limit:
            break
        if head == NULL or memcmp(head, at + 4, HEAD_SIZE) != 0:
            if messages:
                runs.append((flow, messages, run_size))
            head = at + 4
            flow = flows[PyBytes_FromStringAndSize(<const char*>head, HEAD_SIZE)]
            messages = []
            run_size = 0
        envelope = <Py_ssize_t>length - REST_MINIMUM
        at += PREFIX_SIZE
        start = _payload(at, envelope)
        if start:
            body = PyBytes_FromStringAndSize(<const char*>at + start, envelope - start - 1)
            message = make(flow, u64(at - 8), envelope, body, at[envelope - 1])
        else:
            body = PyBytes_FromStringAndSize(<const char*>at, envelope)
            message = unusual(flow, u64(at - 8), body)
        if message is not None:
            PyList_Append(messages, message)
            run_size += envelope
        position += <Py_ssize_t>length + LENGTH_SIZE
    if messages:
        runs.append((flow, messages, run_size))
    return runs, position


def data_frame(
    uint8_t kind,
    uint16_t fanout,
    uint32_t destination,
    uint32_t source,
    uint64_t id,  # noqa: A002
    bytes body not None,
    uint8_t content_type,
):
    """A data frame without flags round the envelope [body, content type]."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(body)
    cdef Py_ssize_t start = PREFIX_SIZE + (3 if size <= 0xFF else 4 if size <= 0xFFFF else 6)
    cdef bytes frame
    cdef uint8_t* at
    if <uint64_t>size > <uint64_t>0xFFFFFFFF - PREFIX_SIZE - ENVELOPE_OVERHEAD_MAXIMUM:
        raise OverflowError("the payload does not fit into a frame")
    if content_type > FIXINT_MAXIMUM:
        raise OverflowError("the content type is not a small number")
    frame = PyBytes_FromStringAndSize(NULL, start + size + 1)
    at = <uint8_t*>PyBytes_AS_STRING(frame)
    _put32(at, <uint32_t>(start + size + 1 - LENGTH_SIZE))
    at[4] = kind
    at[5] = 0
    at[6] = <uint8_t>(fanout >> 8)
    at[7] = <uint8_t>fanout
    _put32(at + 8, destination)
    _put32(at + 12, source)
    _put32(at + 16, <uint32_t>(id >> 32))
    _put32(at + 20, <uint32_t>id)
    at[24] = ARRAY_OF_TWO
    if size <= 0xFF:
        at[25] = BIN8
        at[26] = <uint8_t>size
    elif size <= 0xFFFF:
        at[25] = BIN16
        at[26] = <uint8_t>(size >> 8)
        at[27] = <uint8_t>size
    else:
        at[25] = BIN32
        _put32(at + 26, <uint32_t>size)
    memcpy(at + start, PyBytes_AS_STRING(body), size)
    at[start + size] = content_type
    return frame


cdef inline void _put32(uint8_t* at, uint32_t value) noexcept nogil:
    at[0] = <uint8_t>(value >> 24)
    at[1] = <uint8_t>(value >> 16)
    at[2] = <uint8_t>(value >> 8)
    at[3] = <uint8_t>value
