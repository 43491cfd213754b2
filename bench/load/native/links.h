/* The links of the relay and what is known about each: enough of the native protocol for a load with unicast. */
#ifndef LINKS_H
#define LINKS_H

#include "conn.h"
#include "frames.h"

#define LINKS_MAX 4096

struct link {
    struct conn conn; /* `out` collects what leaves at the end of the turn */
    char *name;       /* of its agent; NULL before REGISTER */
    bool dirty;       /* has something to write at the end of the turn */
    bool waiting;     /* for room in the socket */
};

struct links {
    struct link *all[LINKS_MAX]; /* NULL: closed. The handle of a link is its index + 1 and is not used again. */
    uint32_t count;
    uint32_t dirty[LINKS_MAX], dirty_count;
    uint8_t *data; /* one buffer for all reads */
    size_t capacity;
};

void links_open(struct links *links);
/* Read once (up to 256 KiB) and forward every whole frame. The bytes read; -1: the link has ended or broke the
   protocol. */
ssize_t links_read(struct links *links, struct link *link);
void links_end(struct links *links, struct link *link);

#endif
