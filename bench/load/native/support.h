/* What every part needs: ending with an error, time, processor time of other processes, buffers that grow. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define READ_BYTES ((size_t)256 * 1024)
#define PROCESSES_MAX 64

/* Ends the program with exit code 1 and {"error": "..."} on standard output. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Of a clock that only goes forward. */
uint64_t now_ns(void);

/* As many open files as the system allows this process. */
void raise_descriptor_limit(void);

/* malloc and realloc that end the program when there is no memory. */
void *allocate(size_t bytes);
void *reallocate(void *memory, size_t bytes);

/* The processes whose processor time is measured; with `count` 0 nothing is. */
struct processes {
    clockid_t clocks[PROCESSES_MAX];
    size_t count;
};

/* From "PID,PID,..."; ends the program if one of them does not exist. */
void processes_parse(struct processes *processes, const char *text);
/* User and system time of all of them, in seconds. */
double processes_cpu_s(const struct processes *processes);

/* Bytes, `start` to `end` of `data`: appended at the end, consumed from the start. */
struct buffer {
    uint8_t *data;
    size_t start, end, capacity;
};

size_t buffer_length(const struct buffer *buffer);
/* Room for `bytes` more after the end; the caller adds what it wrote to `end`. */
uint8_t *buffer_room(struct buffer *buffer, size_t bytes);
void buffer_append(struct buffer *buffer, const void *data, size_t bytes);
void buffer_text(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_consume(struct buffer *buffer, size_t bytes);
void buffer_clear(struct buffer *buffer);
void buffer_free(struct buffer *buffer);

#endif
