/* What a guest's disk feels like: the guest's only program beside its kernel.

   Every PERIOD it reads or writes, in turn, one random block of the first MIB of
   /dev/vda, past all caches; where one takes longer than that, the next begins at once.
   It says on the serial console how many microseconds each took:
   "LATENCY r 412 380 ... w 2101 ...". */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, MIB = 64, PERIOD_US = 10000, LINE = 4 };

static int64_t now_us(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000LL + at.tv_nsec / 1000;
}

static void wait_until(int64_t us)
{
    struct timespec at = {us / 1000000, us % 1000000 * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void load_modules(void)
{
    char name[64], path[96];
    FILE *order = fopen("/modules/order", "r");
    while (order && fscanf(order, "%63s", name) == 1) {
        snprintf(path, sizeof path, "/modules/%s", name);
        int module = open(path, O_RDONLY);
        syscall(SYS_finit_module, module, "", 0);
        close(module);
    }
}

static void tell(const char *what, const int32_t *took, int count)
{
    printf(" %s", what);
    for (int i = 0; i < count; i++)
        printf(" %d", took[i]);
}

int main(void)
{
    static char block[BLOCK] __attribute__((aligned(BLOCK)));
    int32_t took[2][LINE];
    int disk = -1, console;
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    console = open("/dev/ttyS0", O_RDWR);
    dup2(console, 1);
    load_modules();
    for (int tries = 0; disk < 0 && tries < 100; tries++) {
        disk = open("/dev/vda", O_RDWR | O_DIRECT | O_DSYNC);
        wait_until(now_us() + 100000);
    }
    printf("PROBE %s\n", disk < 0 ? "has no disk" : "begins");
    fflush(stdout);
    srandom(1);
    int64_t due = now_us();
    for (;;) {
        int count[2] = {0, 0};
        for (int i = 0; i < LINE; i++) {
            int writes = i % 2;
            off_t at = random() % (MIB * 1024 * 1024 / BLOCK) * (off_t)BLOCK;
            wait_until(due);
            int64_t begun = now_us();
            ssize_t done = writes ? pwrite(disk, block, BLOCK, at)
                                  : pread(disk, block, BLOCK, at);
            if (done != BLOCK)
                printf("PROBE failed\n");
            took[writes][count[writes]++] = (int32_t)(now_us() - begun);
            due = due + PERIOD_US > now_us() ? due + PERIOD_US : now_us();
        }
        printf("LATENCY");
        tell("r", took[0], count[0]);
        tell("w", took[1], count[1]);
        printf("\n");
        fflush(stdout);
    }
}
