/* Moves the wall clock of one process while it runs, and nothing else: the monotonic clock stays.
 *
 *     cc -shared -fPIC -O1 -o clock.so clock.c -ldl
 *     CLOCK_FILE=offset LD_PRELOAD=./clock.so program
 *
 * The file holds the seconds that are added now, as a 64-bit number of this machine; it is mapped,
 * so that a test moves the clock by writing into it. See tests/faults/test_clock.py.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;
static int (*true_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
    const char *name = getenv("CLOCK_FILE");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    void *map = MAP_FAILED;

    true_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (file >= 0) {
        map = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
        close(file);
    }
    if (map == MAP_FAILED)
        abort(); /* a test that moves no clock would prove nothing */
    offset = map;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = true_gettime(clock, now);

    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *offset;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact) != 0)
        return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *store)
{
    struct timespec now;

    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    if (store)
        *store = now.tv_sec;
    return now.tv_sec;
}
