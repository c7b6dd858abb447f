/* Breaks the n-th system call of a kind: the process is killed where it would enter it, or the call
 * fails as a disk makes it fail. Loaded by LD_PRELOAD; see tests/faults/injector.py.
 *
 *     cc -shared -fPIC -O1 -o injector.so injector.c -ldl -pthread
 *     LD_PRELOAD=./injector.so INJECT="pwrite64 /data 17 1 28" program
 *
 * INJECT is the call, the folder whose files count, which of the calls is the first to be broken,
 * how many are (0: all from there on), and the errno (0: SIGKILL). The call `tell` is anything that
 * goes to a peer over a TCP or Unix socket, `change` all that is known here but what only reads. A process that was forked
 * from one with this library calls `inject` itself. REPORT_TO names a file that gets a line for
 * each call that counts, whether it is broken or not.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[4096], call[32];
static long first, times;
static int error, armed, report = -1;
static atomic_long seen;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* 0 where the line is not understood: nothing is broken then. */
int inject(const char *line, const char *report_to)
{
    armed = 0;
    atomic_store(&seen, 0);
    if (report_to != NULL && *report_to)
        report = open(report_to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (sscanf(line, "%31s %4095s %ld %ld %d", call, folder, &first, &times, &error) != 5)
        return 0;
    armed = 1;
    return 1;
}

__attribute__((constructor)) static void start(void)
{
    const char *line = getenv("INJECT");
    if (line != NULL)
        inject(line, getenv("REPORT_TO"));
}

static int inside(const char *path)
{
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* Whether a descriptor is a file of the folder, or, for `tell`, a socket with a peer. */
static int counts_fd(int fd, int telling)
{
    char link[64], path[4096];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (strncmp(path, "socket:", 7) == 0) {
        /* Not the pair by which a signal handler wakes the loop. */
        struct sockaddr_storage peer, own;
        socklen_t size = sizeof peer, own_size = sizeof own;
        if (!telling || getpeername(fd, (struct sockaddr *)&peer, &size) != 0)
            return 0;
        if (peer.ss_family != AF_UNIX)
            return 1;
        return getsockname(fd, (struct sockaddr *)&own, &own_size) == 0 &&
               (size > sizeof(sa_family_t) || own_size > sizeof(sa_family_t));
    }
    return !telling && inside(path);
}

static int reads(const char *name)
{
    return strcmp(name, "pread64") == 0 || strcmp(name, "open") == 0 || strcmp(name, "mmap") == 0;
}

/* -1 with errno where the call is to fail; does not come back where it is to die. */
static int broken(const char *name)
{
    long number;

    if (!armed || (strcmp(call, name) != 0 && (strcmp(call, "change") != 0 || reads(name))))
        return 0;
    number = atomic_fetch_add(&seen, 1) + 1;
    if (report >= 0) {
        char line[80];
        int length = snprintf(line, sizeof line, "%s %ld\n", name, number);
        if (syscall(SYS_write, report, line, (size_t)length) < 0)
            abort();
    }
    if (number < first || (times != 0 && number >= first + times))
        return 0;
    if (error == 0) {
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
    errno = error;
    return -1;
}

static int hit_fd(const char *name, int fd, int telling)
{
    return armed && counts_fd(fd, telling) ? broken(name) : 0;
}

static int hit_path(const char *name, const char *path)
{
    return armed && inside(path) ? broken(name) : 0;
}

ssize_t pread64(int fd, void *buffer, size_t size, off64_t offset)
{
    return hit_fd("pread64", fd, 0) ? -1 : REAL(pread64)(fd, buffer, size, offset);
}

ssize_t pread(int fd, void *buffer, size_t size, off_t offset)
{
    return pread64(fd, buffer, size, offset);
}

ssize_t pwrite64(int fd, const void *buffer, size_t size, off64_t offset)
{
    return hit_fd("pwrite64", fd, 0) ? -1 : REAL(pwrite64)(fd, buffer, size, offset);
}

ssize_t pwrite(int fd, const void *buffer, size_t size, off_t offset)
{
    return pwrite64(fd, buffer, size, offset);
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    if (hit_fd("write", fd, 0) || hit_fd("tell", fd, 1))
        return -1;
    return REAL(write)(fd, buffer, size);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    if (hit_fd("write", fd, 0) || hit_fd("tell", fd, 1))
        return -1;
    return REAL(writev)(fd, pieces, count);
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t size)
{
    if (hit_fd("write", to, 0) || hit_fd("tell", to, 1))
        return -1;
    return REAL(sendfile64)(to, from, offset, size);
}

ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
    return hit_fd("tell", fd, 1) ? -1 : REAL(send)(fd, buffer, size, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return hit_fd("tell", fd, 1) ? -1 : REAL(sendmsg)(fd, message, flags);
}

int fsync(int fd) { return hit_fd("fsync", fd, 0) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return hit_fd("fdatasync", fd, 0) ? -1 : REAL(fdatasync)(fd); }

int ftruncate64(int fd, off64_t to)
{
    return hit_fd("ftruncate", fd, 0) ? -1 : REAL(ftruncate64)(fd, to);
}

int ftruncate(int fd, off_t to) { return ftruncate64(fd, to); }
int unlink(const char *path) { return hit_path("unlink", path) ? -1 : REAL(unlink)(path); }
int rmdir(const char *path) { return hit_path("unlink", path) ? -1 : REAL(rmdir)(path); }

int rename(const char *from, const char *to)
{
    return hit_path("rename", from) ? -1 : REAL(rename)(from, to);
}

int link(const char *from, const char *to)
{
    return hit_path("rename", from) ? -1 : REAL(link)(from, to);
}

static int opened(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode)
{
    if (hit_path(flags & O_CREAT ? "create" : "open", path))
        return -1;
    return real(path, flags, mode);
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list rest;                                                                              \
        mode_t mode;                                                                               \
        va_start(rest, flags);                                                                     \
        mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                           \
        va_end(rest);                                                                              \
        return opened(REAL(name), path, flags, mode);                                              \
    }

OPEN(open)
OPEN(open64)

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset)
{
    return fd >= 0 && hit_fd("mmap", fd, 0) ? MAP_FAILED
                                            : REAL(mmap64)(at, size, protection, flags, fd, offset);
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return mmap64(at, size, protection, flags, fd, offset);
}
