#include "support.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void print_escaped(const char *text) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c >= 0x7f) /* what a peer sent need not be UTF-8 */
            printf("\\u%04x", c);
        else
            putchar(c);
    }
}

void fail(const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printf("{\"error\": \"");
    print_escaped(text);
    printf("\"}\n");
    exit(1);
}

uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void *allocate(size_t bytes) { return reallocate(NULL, bytes); }

void *reallocate(void *memory, size_t bytes) {
    void *got = realloc(memory, bytes ? bytes : 1);
    if (!got)
        fail("no memory for %zu bytes", bytes);
    return got;
}

void processes_parse(struct processes *processes, const char *text) {
    processes->count = 0;
    while (*text) {
        char *end;
        errno = 0;
        long pid = strtol(text, &end, 10);
        if (end == text || errno || pid <= 0 || pid > 0x7fffffff || (*end && *end != ','))
            fail("--gateway-pid: process ids with commas between, not %s", text);
        if (processes->count == PROCESSES_MAX)
            fail("--gateway-pid: at most %d processes", PROCESSES_MAX);
        /* To the nanosecond, where /proc/PID/stat counts in steps of 10 ms. */
        if (clock_getcpuclockid((pid_t)pid, &processes->clocks[processes->count]))
            fail("no process %ld to take the processor time of", pid);
        processes->count++;
        text = *end ? end + 1 : end;
    }
}

double processes_cpu_s(const struct processes *processes) {
    double sum = 0;
    for (size_t i = 0; i < processes->count; i++) {
        struct timespec used;
        if (clock_gettime(processes->clocks[i], &used))
            fail("a process whose processor time is measured has ended");
        sum += (double)used.tv_sec + (double)used.tv_nsec * 1e-9;
    }
    return sum;
}

size_t buffer_length(const struct buffer *buffer) { return buffer->end - buffer->start; }

uint8_t *buffer_room(struct buffer *buffer, size_t bytes) {
    size_t length = buffer_length(buffer);
    if (buffer->capacity - buffer->end < bytes && buffer->start) {
        memmove(buffer->data, buffer->data + buffer->start, length);
        buffer->start = 0;
        buffer->end = length;
    }
    if (!buffer->data || buffer->capacity - buffer->end < bytes) {
        size_t wanted = buffer->capacity ? buffer->capacity * 2 : 256;
        if (wanted < length + bytes)
            wanted = length + bytes;
        buffer->data = reallocate(buffer->data, wanted);
        buffer->capacity = wanted;
    }
    return buffer->data + buffer->end;
}

void buffer_append(struct buffer *buffer, const void *data, size_t bytes) {
    if (bytes) {
        memcpy(buffer_room(buffer, bytes), data, bytes);
        buffer->end += bytes;
    }
}

void buffer_text(struct buffer *buffer, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof text)
        fail("a command of more than %zu bytes", sizeof text);
    buffer_append(buffer, text, (size_t)length);
}

void buffer_consume(struct buffer *buffer, size_t bytes) {
    buffer->start += bytes;
    if (buffer->start == buffer->end)
        buffer_clear(buffer);
}

void buffer_clear(struct buffer *buffer) { buffer->start = buffer->end = 0; }

void buffer_free(struct buffer *buffer) {
    free(buffer->data);
    *buffer = (struct buffer){0};
}
