# cython: language_level=3, boundscheck=True, wraparound=False, nonecheck=True, cdivision=True
"""The hot path, compiled. `_pure.py` is its twin and describes its parts; here stands only what is different.

What keeps it safe:
- A frame is looked at only after its length was compared, as an unsigned 64-bit number, with what the buffer has.
- Buffers are immutable bytes that the caller or a local variable holds.
- Slices for receivers are collected in a `Batch` and settled before anything is called that could look at a queue.
- References are borrowed only between two such calls, and never across one.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from agpd.message import Message
from agpd.wire.frames import Frame

cdef extern from *:
    """
    #ifndef AGPD_RANGES  /* fuzzing makes them small, so that they are reached */
    #define AGPD_RANGES 1024  /* slices in a batch */
    #define AGPD_PORTS 64  /* receivers in a batch */
    #define AGPD_KNOWN 1024  /* flows remembered within a call, a power of two */
    #endif
    #ifndef AGPD_SOURCES
    #define AGPD_SOURCES ""
    #endif
    """
    const char* SOURCES "AGPD_SOURCES"
    enum:
        RANGES "AGPD_RANGES"
        PORTS "AGPD_PORTS"
        KNOWN "AGPD_KNOWN"

cdef enum:
    LENGTH_SIZE = 4
    PREFIX_SIZE = 24
    REST_MINIMUM = 20
    DESTINATION_AT = 8
    HANDLE_SIZE = 4
    FIRST_DATA_KIND = 0x80
    LAST_DATA_KIND = 0x82
    FANOUT_ALL = 0
    FANOUT_ANY = 1
    WORK_LIMIT = 2048
    FLUSHES = 128

MADE_FROM = (<bytes>SOURCES).decode()  # `digest` of scripts/compile_hotpath.py
WORK_PER_TURN = WORK_LIMIT
FLUSHES_PER_TURN = FLUSHES


cdef inline uint16_t u16(const uint8_t* at) noexcept nogil:
    return <uint16_t>(<uint32_t>at[0] << 8 | at[1])


cdef inline uint32_t u32(const uint8_t* at) noexcept nogil:
    return <uint32_t>at[0] << 24 | <uint32_t>at[1] << 16 | <uint32_t>at[2] << 8 | at[3]


cdef inline uint64_t u64(const uint8_t* at) noexcept nogil:
    return <uint64_t>u32(at) << 32 | u32(at + 4)


cdef class Turn:
    cdef public object call_soon
    cdef public list marked

    def __cinit__(self, call_soon):
        self.call_soon = call_soon
        self.marked = []

    def mark(self, port):
        self.note(port)

    cdef int note(self, port) except -1:
        if not self.marked:
            self.call_soon(self.end)
        self.marked.append(port)
        return 0

    def end(self):
        cdef list marked = self.marked
        cdef list rest = []
        cdef Py_ssize_t half = FLUSHES // 2
        self.marked = []
        if len(marked) > FLUSHES:
            marked = list(dict.fromkeys(marked))
        if len(marked) > FLUSHES:
            rest = marked[half:len(marked) - half]
            marked = marked[:half] + marked[len(marked) - half:]
        left = iter(marked)
        try:
            for port in left:
                port.flush()
        finally:
            rest.extend(left)
            if rest:
                if not self.marked:
                    self.call_soon(self.end)
                self.marked[:0] = rest


cdef class Port:
    cdef public Turn turn
    cdef public list queue
    cdef public int64_t queued, threshold
    cdef public bint writable, full
    cdef public dict flows
    cdef public object reassembly, session, close_code
    cdef public int64_t messages_in, deliveries, work
    # Within one call of `forward`: the batch that holds slices for this port, and which.
    cdef Batch* batch
    cdef int32_t first, last
    cdef Py_ssize_t size

    def __cinit__(self, *_, **__):
        self.queue = []
        self.flows = {}
        self.batch = NULL

    def __init__(self, Turn turn not None, int64_t threshold):
        self.turn = turn
        self.queue = []
        self.queued = 0
        self.threshold = threshold
        self.writable = True
        self.full = False
        self.messages_in = 0
        self.deliveries = 0
        self.work = 0

    def pressed(self, size, count, producer, crowd=None):
        raise NotImplementedError

    def send(self, bytes data not None):
        self.queue.append(data)
        if not self.queued:
            self.turn.note(self)
        self.queued += PyBytes_GET_SIZE(data)

    def offer(self, bytes data not None, int64_t count, producer, crowd=None):
        return self.takes(data, count, producer, crowd)

    cdef bint takes(self, bytes data, int64_t count, producer, crowd) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        self.queue.append(data)
        if not self.queued:
            self.turn.note(self)
        self.queued += size
        return self.queued <= self.threshold or self.pressed(size, count, producer, crowd)


cdef class Flow:
    cdef public object agent, apart, entry
    cdef public Port told
    cdef public dict met

    def __init__(self, agent, entry, apart=None):
        self.agent = agent
        self.entry = entry
        self.apart = apart
        self.told = None
        self.met = {}


# -- batches: slices of one buffer, by receiver ------------------------------------------------------------

cdef struct Range:
    Py_ssize_t start
    Py_ssize_t size
    int32_t next  # index of the next one for the same port, -1: none
    uint8_t stamped
    uint8_t stamp[HANDLE_SIZE]  # the destination of its one frame, if stamped


cdef struct Batch:
    const uint8_t* buffer
    int32_t ranges
    int32_t ports
    PyObject* port[PORTS]  # owned
    Range range[RANGES]


cdef int collect(
    Batch* batch, bytes data, Port port, Py_ssize_t start, Py_ssize_t size, const uint8_t* stamp
) except -1:
    """Count data[start:start + size] as queued at this port, and put it there when the batch is settled."""
    cdef Range* one
    if port.batch != NULL and port.batch != batch:
        # Only if a call of `forward` is made within another: what is in the other's batch stays behind this.
        port.queue.append(cut(data, start, size, stamp))
        port.queued += size
        return 0
    if batch.ranges == RANGES or batch.ports == PORTS:
        settle(batch, data)
    if port.batch == NULL:
        Py_INCREF(port)
        batch.port[batch.ports] = <PyObject*>port
        batch.ports += 1
        port.batch = batch
        port.first = batch.ranges
        port.size = 0
    else:
        batch.range[port.last].next = batch.ranges
    one = &batch.range[batch.ranges]
    one.start = start
    one.size = size
    one.next = -1
    one.stamped = stamp != NULL
    if stamp != NULL:
        memcpy(one.stamp, stamp, HANDLE_SIZE)
    port.last = batch.ranges
    port.size += size
    port.queued += size
    batch.ranges += 1
    return 0


cdef bytes cut(bytes data, Py_ssize_t start, Py_ssize_t size, const uint8_t* stamp):
    """A slice, with another destination if there is a stamp."""
    cdef bytes made
    if stamp == NULL and size == PyBytes_GET_SIZE(data):
        return data
    made = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, size)
    if stamp != NULL:
        memcpy(PyBytes_AS_STRING(made) + DESTINATION_AT, stamp, HANDLE_SIZE)
    return made


cdef bytes gather(Batch* batch, bytes data, Port port):
    """Everything that the batch has for this port, as one slice."""
    cdef Range* one = &batch.range[port.first]
    cdef bytes made
    cdef char* to
    if one.next < 0:
        return cut(data, one.start, one.size, one.stamp if one.stamped else NULL)
    made = PyBytes_FromStringAndSize(NULL, port.size)
    to = PyBytes_AS_STRING(made)
    while True:
        memcpy(to, batch.buffer + one.start, one.size)
        if one.stamped:
            memcpy(to + DESTINATION_AT, one.stamp, HANDLE_SIZE)
        to += one.size
        if one.next < 0:
            return made
        one = &batch.range[one.next]


cdef int settle(Batch* batch, bytes data) except -1:
    """Everything collected goes into the queues. Without memory for it, it is dropped, and the accounts are right."""
    cdef int32_t place, settled = 0
    cdef Port port
    try:
        for place in range(batch.ports):
            port = <Port>batch.port[place]
            port.queue.append(gather(batch, data, port))
            settled += 1
    finally:
        for place in range(batch.ports):
            port = <Port>batch.port[place]
            if place >= settled:
                port.queued -= port.size
            port.batch = NULL
            Py_DECREF(port)
        batch.ports = batch.ranges = 0
    return 0


# -- the loop ----------------------------------------------------------------------------------------------

cdef struct Known:
    uint64_t pair
    uint64_t round  # in which it was looked up; nothing that could change it was called within a round
    PyObject* flow  # borrowed from the table of the link
    PyObject* target  # borrowed from the flow, or NULL: the hub's


cdef Known known[KNOWN]
cdef uint64_t rounds = 0


cdef inline Known* slot_of(uint64_t pair) noexcept nogil:
    return &known[(pair * <uint64_t>0x9E3779B97F4A7C15 >> 32) & (KNOWN - 1)]


cdef class Loop:
    """One call of `forward`. What is borrowed or collected stands in it until it calls something else."""

    cdef Port origin
    cdef object taker
    cdef bytes data
    cdef Batch* batch
    cdef uint64_t round  # 0: a new one begins with the next look-up

    cdef int leave(self) except -1:
        """Before anything is called that could look at a queue or change a table."""
        self.round = 0
        if self.batch.ports:
            settle(self.batch, self.data)
        return 0

    cdef int mark(self, Port target) except -1:
        if not target.turn.marked:
            self.leave()
        target.turn.note(target)
        return 0

    cdef int put(self, Py_ssize_t start, Py_ssize_t end, int64_t count, Flow flow, Port target) except -1:
        """A collected run: into the outbox of its receiver, or to the hub."""
        cdef Port origin = self.origin
        cdef Py_ssize_t size = end - start
        cdef bytes piece
        if target is None:
            origin.messages_in += count
            self.leave()
            self.taker.take(self.message(start, end, count), origin)
            return 0
        if not target.queued:
            self.mark(target)
        origin.messages_in += count
        if target.queued + size <= target.threshold:
            collect(self.batch, self.data, target, start, size, NULL)
            origin.deliveries += count
            return 0
        self.leave()
        piece = cut(self.data, start, size, NULL)
        target.queue.append(piece)
        target.queued += size
        if target.pressed(size, count, origin):
            origin.deliveries += count
        else:
            self.taker.dropped(piece, count, flow, origin)
        return 0

    cdef bint any(self, Py_ssize_t start, Py_ssize_t end, Flow flow) except -1:
        """One frame to a member of a type, chosen at random. False, and nothing is done, if that takes questions."""
        cdef Port link
        cdef dict met = flow.met
        cdef bytes packed
        if not met:
            return False
        entry = flow.entry
        members = entry.members
        if not members or entry.namespace.observers:
            return False
        self.round = 0
        member = members[self.taker.choose(len(members))]
        link = member.link
        if link.full or link is flow.apart or member.agent is flow.agent:
            return False
        if met.get(member) is not link:
            self.leave()
            self.taker.introduce(link, flow, member)
        if link.queued + end - start > link.threshold:
            return False
        packed = member.packed
        if len(packed) != HANDLE_SIZE:
            raise ValueError("a handle has four bytes")
        if not link.queued:
            self.mark(link)
        collect(self.batch, self.data, link, start, end - start, <const uint8_t*>PyBytes_AS_STRING(packed))
        self.origin.messages_in += 1
        self.origin.deliveries += 1
        return True

    cdef int single(self, Py_ssize_t start, Py_ssize_t end) except -1:
        """One frame that is not part of a run."""
        cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(self.data) + start
        self.leave()
        if FIRST_DATA_KIND <= at[4] <= LAST_DATA_KIND and self.origin.session.is_open:
            self.origin.messages_in += 1
            self.taker.take(self.message(start, end, 1), self.origin)
            return 0
        body = PyBytes_FromStringAndSize(<const char*>at + PREFIX_SIZE, end - start - PREFIX_SIZE)
        frame = Frame(at[4], at[5], u16(at + 6), u32(at + 8), u32(at + 12), u64(at + 16), body)
        self.taker.control(frame, self.origin)
        return 0

    cdef object message(self, Py_ssize_t start, Py_ssize_t end, int64_t count):
        cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(self.data) + start
        piece = cut(self.data, start, end - start, NULL)
        return Message(at[4], at[5], u16(at + 6), u32(at + 8), u32(at + 12), u64(at + 16), piece, count)

    cdef Py_ssize_t walk(self, bytes data, Py_ssize_t position) except -1:
        """Take the whole frames from `position` on; returns where the rest begins, -2 if the link has ended."""
        global rounds
        cdef Port origin = self.origin, target = None
        cdef Flow flow = None
        cdef dict flows = origin.flows
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), start = 0, end
        cdef const uint8_t* buffer = <const uint8_t*>PyBytes_AS_STRING(data)
        cdef const uint8_t* at
        cdef int64_t longest = origin.reassembly.limit - LENGTH_SIZE, length, count = 0
        # kind and flags, fan-out; both handles: of the frame, and of the run
        cdef uint32_t verb, run_verb = 0
        cdef uint64_t pair, run_pair = 0
        cdef bint in_run = False
        cdef Known* slot
        cdef PyObject* found
        self.data = data
        self.batch.buffer = buffer
        while size - position >= PREFIX_SIZE:
            at = buffer + position
            length = u32(at)
            if length < REST_MINIMUM or length > longest or length + LENGTH_SIZE > size - position:
                break
            end = position + LENGTH_SIZE + length
            verb = u32(at + 4)
            pair = u64(at + DESTINATION_AT)
            if in_run and pair == run_pair and verb == run_verb:
                count += 1
                position = end
                continue
            if count:
                self.put(start, position, count, flow, target)
                if target is None and origin.work > WORK_LIMIT:
                    count = 0
                    break
            # Data without flags?
            if (verb >> 16 & 0xFF) == 0 and FIRST_DATA_KIND <= verb >> 24 <= LAST_DATA_KIND:
                if self.round == 0:
                    rounds += 1
                    self.round = rounds
                slot = slot_of(pair)
                if slot.pair == pair and slot.round == self.round:
                    flow = <Flow>slot.flow
                    target = <Port>slot.target if slot.target != NULL else None
                else:
                    found = PyDict_GetItemWithError(flows, pair)
                    if found == NULL:
                        flow = target = None
                    else:
                        flow = <Flow?><object>found
                        target = flow.told
                        if target is not None and target is not flow.entry.link:
                            target = None  # it has moved or gone: the hub finds out
                        slot.pair = pair
                        slot.round = self.round
                        slot.flow = <PyObject*>flow
                        slot.target = <PyObject*>target if target is not None else NULL
            else:
                flow = target = None
            if flow is not None and (flow.told is not None or (verb & 0xFFFF) == FANOUT_ALL):
                run_pair, run_verb, in_run = pair, verb, True
                start, count = position, 1
            else:
                target, in_run, count = None, False, 0
                if flow is None or (verb & 0xFFFF) != FANOUT_ANY or not self.any(position, end, flow):
                    # Control frames, the first message of a flow, choices that are not simple.
                    self.single(position, end)
                    if origin.close_code is not None:
                        return -2
                    longest = origin.reassembly.limit - LENGTH_SIZE  # a hello changes it
                    if origin.work > WORK_LIMIT:
                        position = end
                        break
            position = end
        if count:
            self.put(start, position, count, flow, target)
        self.leave()
        return position


def forward(bytes data not None, Port origin not None, taker):
    cdef Batch batch
    cdef Loop loop = Loop.__new__(Loop)
    cdef Py_ssize_t position, walked
    cdef bytes head
    cdef bint tired
    batch.ranges = batch.ports = 0
    loop.origin, loop.taker, loop.data, loop.batch = origin, taker, data, &batch
    head, position = origin.reassembly.complete(data)
    try:
        if len(head):
            walked = loop.walk(head, 0)
            if walked < 0:
                return False
            if walked < len(head) or origin.work > WORK_LIMIT:
                data, position = head[walked:] + data[position:], 0
        if origin.work <= WORK_LIMIT:
            position = loop.walk(data, position)
            if position < 0:
                return False
    finally:
        settle(&batch, loop.data)
    if position < len(data):
        origin.reassembly.keep(data, position)
    tired = origin.work > WORK_LIMIT
    origin.work = 0
    return tired


def fan_out(links, bytes data not None, int64_t count, producer, crowd):
    cdef list losers = []
    cdef Port link
    for link in links:
        if not link.takes(data, count, producer, crowd):
            losers.append(link)
    return losers


include "client.pxi"
