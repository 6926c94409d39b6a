/* Many Modbus TCP devices in one process: `modbus_sim DEVICES [PORT [LATENCY_MS]]`.
 *
 * Device i listens on 127.20.<i / 250>.<1 + i % 250>, all on one port (0: any free one), so nothing is reachable from
 * outside. Every register, holding or input, that nobody wrote says where and when it was read:
 *
 *     value = (31153 * device + 521 * register + milliseconds since 1970) mod 65536
 *
 * and a bit is (device + address) mod 2. What is written (functions 5, 6, 15, 16) is kept for each device. All unit ids answer.
 *
 * Standard output: {"port": N} when ready, and for each line on standard input one line of JSON with what was counted
 * since the line before: requests, refused ones, malformed ones, open connections, and as [device, microseconds since
 * 1970] every poll, which is a read that begins at address 0. It ends with standard input; on SIGTERM it prints once more.
 *
 * Sources: MODBUS Application Protocol V1.1b3 section 6 (functions) and 7 (exceptions); MODBUS Messaging on TCP/IP
 * Implementation Guide V1.0b section 3.1.3 (MBAP header).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PER_SUBNET = 250, MOST_DEVICES = 50000, ADDRESSES = 65536, HEADER = 7, MOST_ADU = 260 };
enum { NO_FUNCTION = 1, NO_ADDRESS = 2, NO_VALUE = 3 };

struct table {
    uint16_t value[ADDRESSES];
    bool written[ADDRESSES];
};

struct device {
    struct table *registers, *bits; /* made by the first write */
};

/* Whatever epoll wakes us for; the first word says what it is. */
struct source {
    enum { LISTENER, CONNECTION, INPUT, SIGNAL } kind;
    int fd;
    unsigned device;
    bool waits; /* a reply is held back for the latency; the next request is not read before */
    int64_t due;
    size_t have, reply_size;
    uint8_t request[2 * MOST_ADU], reply[MOST_ADU];
    TAILQ_ENTRY(source) next;
};

struct poll {
    unsigned device;
    int64_t at;
};

static struct device *devices;
static struct poll *polls;
static size_t poll_count, poll_room;
static unsigned long requests, refused, malformed, connections;
static int64_t latency;
static int queue;
static TAILQ_HEAD(, source) held = TAILQ_HEAD_INITIALIZER(held);

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int64_t microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static unsigned get16(const uint8_t *at) { return at[0] << 8 | at[1]; }

static void put16(uint8_t *at, unsigned value) {
    at[0] = value >> 8;
    at[1] = value;
}

static void watch(struct source *source, int operation) {
    struct epoll_event event = {.events = source->waits ? 0 : EPOLLIN, .data.ptr = source};
    if (epoll_ctl(queue, operation, source->fd, &event) < 0) fail("epoll_ctl");
}

static struct source *new_source(int kind, unsigned device, int fd) {
    struct source *source = calloc(1, sizeof *source);
    if (!source) fail("calloc");
    source->kind = kind;
    source->device = device;
    source->fd = fd;
    watch(source, EPOLL_CTL_ADD);
    return source;
}

static void note_poll(unsigned device, int64_t at) {
    if (poll_count == poll_room) {
        poll_room = poll_room ? 2 * poll_room : 65536;
        polls = realloc(polls, poll_room * sizeof *polls);
        if (!polls) fail("realloc");
    }
    polls[poll_count++] = (struct poll){device, at};
}

static void print_statistics(void) {
    printf("{\"requests\": %lu, \"refused\": %lu, \"malformed\": %lu, \"connections\": %lu, \"polls\": [", requests, refused,
           malformed, connections);
    for (size_t i = 0; i < poll_count; i++)
        printf("%s[%u,%lld]", i ? "," : "", polls[i].device, (long long)polls[i].at);
    puts("]}");
    fflush(stdout);
    requests = refused = malformed = poll_count = 0;
}

static unsigned register_value(unsigned device, unsigned address, int64_t at, bool holding) {
    struct table *table = devices[device].registers;
    if (holding && table && table->written[address]) return table->value[address];
    return (31153u * device + 521u * address + (uint64_t)at / 1000) & 0xffff;
}

static unsigned bit_value(unsigned device, unsigned address, bool coil) {
    struct table *table = devices[device].bits;
    if (coil && table && table->written[address]) return table->value[address];
    return (device + address) & 1;
}

static void store(struct table **table, unsigned address, unsigned value) {
    if (!*table && !(*table = calloc(1, sizeof **table))) fail("calloc");
    (*table)->value[address] = value;
    (*table)->written[address] = true;
}

static size_t read_bits(struct source *c, const uint8_t *pdu, uint8_t *out) {
    unsigned address = get16(pdu + 1), count = get16(pdu + 3);
    out[1] = (count + 7) / 8;
    memset(out + 2, 0, out[1]);
    for (unsigned i = 0; i < count; i++)
        out[2 + i / 8] |= bit_value(c->device, address + i, pdu[0] == 1) << i % 8;
    return 2 + out[1];
}

static size_t read_registers(struct source *c, const uint8_t *pdu, uint8_t *out, int64_t at) {
    unsigned address = get16(pdu + 1), count = get16(pdu + 3);
    out[1] = 2 * count;
    for (unsigned i = 0; i < count; i++)
        put16(out + 2 + 2 * i, register_value(c->device, address + i, at, pdu[0] == 3));
    return 2 + out[1];
}

static size_t write_one(struct source *c, const uint8_t *pdu, uint8_t *out) {
    struct device *device = &devices[c->device];
    if (pdu[0] == 5) store(&device->bits, get16(pdu + 1), pdu[3] == 0xff);
    else store(&device->registers, get16(pdu + 1), get16(pdu + 3));
    memcpy(out, pdu, 5);
    return 5;
}

static size_t write_many(struct source *c, const uint8_t *pdu, uint8_t *out) {
    struct device *device = &devices[c->device];
    unsigned address = get16(pdu + 1), count = get16(pdu + 3);
    for (unsigned i = 0; i < count; i++)
        if (pdu[0] == 15) store(&device->bits, address + i, pdu[6 + i / 8] >> i % 8 & 1);
        else store(&device->registers, address + i, get16(pdu + 6 + 2 * i));
    memcpy(out, pdu, 5);
    return 5;
}

/* The exception that a request deserves, 0 if none. */
static int check(const uint8_t *pdu, size_t size) {
    if (pdu[0] < 1 || (pdu[0] > 6 && pdu[0] != 15 && pdu[0] != 16)) return NO_FUNCTION;
    if (size < 5) return NO_VALUE;
    unsigned address = get16(pdu + 1), second = get16(pdu + 3);
    bool many = pdu[0] >= 15;
    if (!many && size != 5) return NO_VALUE;
    if (pdu[0] == 5) return second == 0 || second == 0xff00 ? 0 : NO_VALUE;
    if (pdu[0] == 6) return 0;
    unsigned most = pdu[0] <= 2 ? 2000 : pdu[0] <= 4 ? 125 : pdu[0] == 15 ? 1968 : 123;
    unsigned bytes = pdu[0] == 15 ? (second + 7) / 8 : 2 * second;
    if (second < 1 || second > most) return NO_VALUE;
    if (many && (size != 6 + bytes || pdu[5] != bytes)) return NO_VALUE;
    return address + second > ADDRESSES ? NO_ADDRESS : 0;
}

static size_t answer(struct source *c, const uint8_t *pdu, size_t size, uint8_t *out, int64_t at) {
    int exception = check(pdu, size);
    requests++;
    out[0] = pdu[0];
    if (exception) {
        refused++;
        out[0] |= 0x80;
        out[1] = exception;
        return 2;
    }
    if (pdu[0] <= 4 && get16(pdu + 1) == 0) note_poll(c->device, at);
    if (pdu[0] <= 2) return read_bits(c, pdu, out);
    if (pdu[0] <= 4) return read_registers(c, pdu, out, at);
    return pdu[0] <= 6 ? write_one(c, pdu, out) : write_many(c, pdu, out);
}

static void drop(struct source *c) {
    if (c->waits) TAILQ_REMOVE(&held, c, next);
    close(c->fd);
    free(c);
    connections--;
}

/* Sends the reply that is ready; false if the connection is gone. */
static bool send_reply(struct source *c) {
    if (send(c->fd, c->reply, c->reply_size, MSG_NOSIGNAL) == (ssize_t)c->reply_size) return true;
    drop(c);
    return false;
}

static void hold(struct source *c, int64_t at) {
    c->waits = true;
    c->due = at + latency;
    TAILQ_INSERT_TAIL(&held, c, next);
    watch(c, EPOLL_CTL_MOD);
}

/* Answers the whole requests that have come, until one must wait. */
static void serve(struct source *c) {
    while (!c->waits && c->have >= HEADER + 1) {
        size_t size = get16(c->request + 4) + 6;
        if (get16(c->request + 2) != 0 || size < HEADER + 1 || size > MOST_ADU) {
            malformed++;
            drop(c);
            return;
        }
        if (c->have < size) return;
        int64_t at = microseconds();
        memcpy(c->reply, c->request, HEADER);
        size_t pdu = answer(c, c->request + HEADER, size - HEADER, c->reply + HEADER, at);
        put16(c->reply + 4, pdu + 1);
        c->reply_size = HEADER + pdu;
        c->have -= size;
        memmove(c->request, c->request + size, c->have);
        if (latency) hold(c, at);
        else if (!send_reply(c)) return;
    }
}

static void receive(struct source *c) {
    ssize_t got = recv(c->fd, c->request + c->have, sizeof c->request - c->have, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        drop(c);
        return;
    }
    c->have += got;
    serve(c);
}

static void release_due(void) {
    struct source *c;
    while ((c = TAILQ_FIRST(&held)) && c->due <= microseconds()) {
        TAILQ_REMOVE(&held, c, next);
        c->waits = false;
        if (!send_reply(c)) continue;
        watch(c, EPOLL_CTL_MOD);
        serve(c);
    }
}

static void accept_all(struct source *listener) {
    int fd, yes = 1;
    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        new_source(CONNECTION, listener->device, fd);
        connections++;
    }
    if (errno != EAGAIN && errno != ECONNABORTED) fail("accept");
}

/* Listens on the address of a device; returns the port. */
static int start_device(unsigned device, int port) {
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket (each device takes two of `ulimit -n`)");
    uint32_t address = 127u << 24 | 20u << 16 | device / PER_SUBNET << 8 | (1 + device % PER_SUBNET);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    socklen_t size = sizeof at;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 16) < 0) fail("bind or listen");
    if (getsockname(fd, (struct sockaddr *)&at, &size) < 0) fail("getsockname");
    new_source(LISTENER, device, fd);
    return ntohs(at.sin_port);
}

static void answer_input(void) {
    char lines[64];
    ssize_t got = read(0, lines, sizeof lines);
    if (got <= 0) exit(0);
    for (ssize_t i = 0; i < got; i++)
        if (lines[i] == '\n') print_statistics();
}

static void handle(struct source *source) {
    if (source->kind == CONNECTION) receive(source);
    else if (source->kind == LISTENER) accept_all(source);
    else if (source->kind == INPUT) answer_input();
    else print_statistics(), exit(0);
}

/* How long epoll may wait, in milliseconds: until the first reply held back is due. */
static int patience(void) {
    struct source *first = TAILQ_FIRST(&held);
    if (!first) return -1;
    int64_t left = first->due - microseconds();
    return left <= 0 ? 0 : (int)((left + 999) / 1000);
}

int main(int argc, char **argv) {
    struct epoll_event events[64];
    unsigned count = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    int port = argc > 2 ? atoi(argv[2]) : 0;
    if (count < 1 || count > MOST_DEVICES) {
        fprintf(stderr, "usage: modbus_sim DEVICES(1..%d) [PORT [LATENCY_MS]]\n", MOST_DEVICES);
        return 2;
    }
    latency = argc > 3 ? (int64_t)(atof(argv[3]) * 1000) : 0;
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    queue = epoll_create1(EPOLL_CLOEXEC);
    devices = calloc(count, sizeof *devices);
    if (queue < 0 || !devices) fail("start");
    new_source(INPUT, 0, 0);
    new_source(SIGNAL, 0, signalfd(-1, &stop, SFD_CLOEXEC));
    for (unsigned i = 0; i < count; i++) port = start_device(i, port);
    printf("{\"port\": %d}\n", port);
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(queue, events, 64, patience());
        for (int i = 0; i < ready; i++) handle(events[i].data.ptr);
        release_due();
    }
}
