/* What a process writes to its database files, when it syncs them, and what it tells its peers: in
 * one order, in one file. Loaded by LD_PRELOAD; see tests/faults/power.py.
 *
 *     cc -shared -fPIC -O1 -o recorder.so recorder.c -ldl -pthread
 *     RECORD_TO=log RECORD_FOLDER=/data LD_PRELOAD=./recorder.so program
 *
 * A record: struct head, the name of the file, the octets. A lock over call and record makes the
 * order of the records the order of what happened; a sync is recorded when it has returned, so that
 * nothing counts as durable before that.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct head {
    uint8_t kind;    /* W write, T truncate, S sync, U unlink, N a socket */
    uint8_t unused;
    uint16_t name;   /* octets */
    uint16_t port;   /* of the peer, for N */
    uint16_t descriptor;
    uint64_t offset; /* for W; the new length for T */
    uint64_t length; /* octets that follow the name */
};

enum { NOTHING, FILE_OF_OURS, SOCKET };

static int out = -1;
static char folder[4096];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void)
{
    const char *to = getenv("RECORD_TO"), *of = getenv("RECORD_FOLDER");
    if (to == NULL || of == NULL || strlen(of) >= sizeof folder)
        return;
    strcpy(folder, of);
    out = open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* `name`: the file's name in the folder, if it is one of the database. */
static int is_ours(const char *path, char *name)
{
    size_t skip = strlen(folder);

    if (strncmp(path, folder, skip) != 0 || path[skip] != '/' || strchr(path + skip + 1, '/'))
        return NOTHING;
    strcpy(name, path + skip + 1);
    return strstr(name, ".sqlite") && !strstr(name, "-shm") ? FILE_OF_OURS : NOTHING;
}

/* Of a TCP connection, else 0. */
static uint16_t port_of_peer(int fd)
{
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;

    if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0 || peer.sin_family != AF_INET)
        return 0;
    return ntohs(peer.sin_port);
}

static int what(int fd, char *name)
{
    char link[64], path[4096];
    ssize_t length;

    if (out < 0 || fd == out)
        return NOTHING;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return NOTHING;
    path[length] = 0;
    if (strncmp(path, "socket:", 7) == 0) {
        /* Not the pair by which a signal handler wakes the loop: it may run under our lock. */
        name[0] = 0;
        return port_of_peer(fd) ? SOCKET : NOTHING;
    }
    return is_ours(path, name);
}

static void record(char kind, int fd, const char *name, uint64_t offset, const struct iovec *octets,
                   int pieces, size_t length)
{
    struct head head = {.kind = (uint8_t)kind, .name = (uint16_t)strlen(name),
                        .descriptor = (uint16_t)fd, .offset = offset, .length = length};
    struct iovec first[2] = {{&head, sizeof head}, {(void *)name, strlen(name)}};
    int i;

    if (kind == 'N')
        head.port = port_of_peer(fd);
    if (syscall(SYS_writev, out, first, 2) < 0)
        abort();
    for (i = 0; i < pieces && length > 0; i++) {
        size_t part = octets[i].iov_len < length ? octets[i].iov_len : length;
        if (part > 0 && syscall(SYS_write, out, octets[i].iov_base, part) != (long)part)
            abort();
        length -= part;
    }
}

#define AROUND(call, kind_if_file, at)                                                             \
    char name[4096];                                                                               \
    int is = what(fd, name);                                                                       \
    ssize_t done;                                                                                  \
    if (is == NOTHING)                                                                             \
        return call;                                                                               \
    pthread_mutex_lock(&lock);                                                                     \
    done = call;                                                                                   \
    if (done > 0)                                                                                  \
        record(is == SOCKET ? 'N' : kind_if_file, fd, name, is == SOCKET ? 0 : (uint64_t)(at),     \
               pieces, count, (size_t)done);                                                       \
    pthread_mutex_unlock(&lock);                                                                   \
    return done;

ssize_t pwrite64(int fd, const void *buffer, size_t size, off64_t offset)
{
    struct iovec pieces[1] = {{(void *)buffer, size}};
    int count = 1;
    AROUND(REAL(pwrite64)(fd, buffer, size, offset), 'W', offset)
}

ssize_t pwrite(int fd, const void *buffer, size_t size, off_t offset)
{
    return pwrite64(fd, buffer, size, offset);
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    struct iovec pieces[1] = {{(void *)buffer, size}};
    int count = 1;
    AROUND(REAL(write)(fd, buffer, size), 'W', lseek(fd, 0, SEEK_CUR) - done)
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    AROUND(REAL(writev)(fd, pieces, count), 'W', lseek(fd, 0, SEEK_CUR) - done)
}

ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
    struct iovec pieces[1] = {{(void *)buffer, size}};
    int count = 1;
    AROUND(REAL(send)(fd, buffer, size, flags), 'N', 0)
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    const struct iovec *pieces = message->msg_iov;
    int count = (int)message->msg_iovlen;
    AROUND(REAL(sendmsg)(fd, message, flags), 'N', 0)
}

static int marked(int fd, char kind, uint64_t offset, int (*call)(int, uint64_t))
{
    char name[4096];
    int done;
    if (what(fd, name) != FILE_OF_OURS)
        return call(fd, offset);
    pthread_mutex_lock(&lock);
    done = call(fd, offset);
    if (done == 0)
        record(kind, fd, name, offset, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

static int real_fsync(int fd, uint64_t unused) { (void)unused; return REAL(fsync)(fd); }
static int real_fdatasync(int fd, uint64_t unused) { (void)unused; return REAL(fdatasync)(fd); }
static int real_ftruncate(int fd, uint64_t to) { return REAL(ftruncate64)(fd, (off64_t)to); }

int fsync(int fd) { return marked(fd, 'S', 0, real_fsync); }
int fdatasync(int fd) { return marked(fd, 'S', 0, real_fdatasync); }
int ftruncate64(int fd, off64_t to) { return marked(fd, 'T', (uint64_t)to, real_ftruncate); }
int ftruncate(int fd, off_t to) { return ftruncate64(fd, to); }

int unlink(const char *path)
{
    char name[4096];
    int done;
    if (out < 0 || is_ours(path, name) != FILE_OF_OURS)
        return REAL(unlink)(path);
    pthread_mutex_lock(&lock);
    done = REAL(unlink)(path);
    if (done == 0)
        record('U', -1, name, 0, NULL, 0, 0);
    pthread_mutex_unlock(&lock);
    return done;
}
