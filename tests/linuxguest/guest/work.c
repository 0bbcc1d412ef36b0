/*
 * The work of the micro-VM's guest program as a Linux process: operations on pages and on a disk,
 * whose chain is a pure function of their number. The description is microvm/README.md, and names
 * here are the letters there.
 *
 * usage: work VERSION:SEED:RATE:W:F:A:Z:T:FLAGS:HEARTBEAT_MS:S:DISK_EVERY:COLD_EVERY
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef uint64_t u64;

enum { WORDS = 512, SECTOR_WORDS = 64, DICTIONARY = 256, TOGGLE = 1, DISK = 2, BURST = 256 };
enum { VERSION, SEED, RATE, W, F, A, Z, T, FLAGS, HEARTBEAT_MS, S, DISK_EVERY, COLD_EVERY, COUNT };

/* Word i of a content is text[i] + first + i * step. */
struct content {
    const u64 *text;
    u64 first, step;
};
struct sums {
    u64 s1, s2;
};

static u64 set[COUNT];
static u64 dictionary[3 * DICTIONARY], zeros[WORDS];
static u64 *pages, *sector;
static int disk = -1;
static u64 n, chain, bad;

static void fail(const char *what)
{
    printf("PANIC %s: %m\n", what);
    exit(1);
}

static u64 mix(u64 z)
{
    z += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

static u64 fold(struct sums sums, int r)
{
    return sums.s1 ^ (sums.s2 << r | sums.s2 >> (64 - r));
}

static struct content content(u64 page, u64 generation)
{
    u64 h = mix(mix(set[SEED] + page) + (set[FLAGS] & TOGGLE ? generation & 1 : generation));
    u64 top = h >> 32;
    if (top < set[Z])
        return (struct content){zeros, 0, 0};
    if (top < set[T])
        return (struct content){dictionary + h % DICTIONARY, mix(h) & 0x0303030303030303, 0};
    return (struct content){zeros, h, mix(h) | 1};
}

static void fill(u64 *to, struct content what, int words)
{
    for (int i = 0; i < words; i++, what.first += what.step)
        to[i] = what.text[i] + what.first;
}

/* The sums of what is there; one that is not as it should be counts as bad. */
static struct sums check(const u64 *at, struct content what, int words)
{
    struct sums sums = {0, 0};
    u64 differs = 0;
    for (int i = 0; i < words; i++, what.first += what.step) {
        u64 word = at[i];
        differs |= word ^ (what.text[i] + what.first);
        sums.s1 += word;
        sums.s2 += sums.s1;
    }
    bad += differs != 0;
    return sums;
}

static u64 use_page(u64 sweep, u64 begin)
{
    u64 page = (begin + set[A] * (n % set[W])) % set[W];
    u64 *at = pages + page * WORDS;
    u64 sum = fold(check(at, content(page, sweep), WORDS), 17);
    fill(at, content(page, sweep + 1), WORDS);
    return sum;
}

static u64 use_cold(void)
{
    u64 page = set[W] + n / set[COLD_EVERY] % (set[F] - set[W]);
    return fold(check(pages + page * WORDS, content(page, 0), WORDS), 29);
}

static struct content of_sector(u64 m)
{
    u64 a = mix(mix(set[SEED] ^ 0x6469736B6469736B) + m);
    return (struct content){zeros, a, mix(a) | 1};
}

static u64 use_disk(void)
{
    u64 m = n / set[DISK_EVERY], back = m;
    fill(sector, of_sector(m), SECTOR_WORDS);
    if (pwrite(disk, sector, 512, m % set[S] * 512) != 512)
        fail("disk write");
    if (m)
        back = m - 1 - mix(m) % (m < set[S] - 1 ? m : set[S] - 1);
    memset(sector, 0, 512);
    if (pread(disk, sector, 512, back % set[S] * 512) != 512)
        fail("disk read");
    return fold(check(sector, of_sector(back), SECTOR_WORDS), 41);
}

static void operate(void)
{
    static u64 sweep = -1, begin;
    if (n / set[W] != sweep) {
        sweep = n / set[W];
        begin = mix(mix(~set[SEED]) + sweep) % set[W];
    }
    u64 c = 1 + use_page(sweep, begin);
    if (set[COLD_EVERY] && n % set[COLD_EVERY] == 0)
        c += use_cold();
    if (disk >= 0 && n % set[DISK_EVERY] == 0)
        c += use_disk();
    chain = chain * 0xD6E8FEB86659FD93 + c;
    n++;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void beat(void)
{
    char up[64] = "";
    FILE *file = fopen("/proc/uptime", "r");
    if (!file || fscanf(file, "%63s", up) != 1)
        fail("uptime");
    fclose(file);
    printf("HB n=%llu chain=%016llx bad=%llu up=%s\n", (unsigned long long)n,
           (unsigned long long)chain, (unsigned long long)bad, up);
}

static void run(void)
{
    double since = now_s(), next_beat = since, pages_per_s = set[RATE] / 4096.0;
    u64 origin = n;
    for (;;) {
        double now = now_s(), due = (now - since) * pages_per_s - (double)(n - origin);
        for (int i = 0; i < BURST && due >= 1; i++, due--)
            operate();
        if (due > pages_per_s / 4) /* what it is behind by is not made up for */
            since = now_s(), origin = n;
        if (now >= next_beat) {
            beat();
            next_beat = now + set[HEARTBEAT_MS] / 1e3;
        }
        if (due < 1)
            usleep(1000);
    }
}

static void prepare(char *settings)
{
    char *word = strtok(settings, ":");
    for (int i = 0; i < COUNT; i++, word = strtok(NULL, ":")) {
        if (!word)
            fail("settings");
        set[i] = strtoull(word, NULL, 10);
    }
    FILE *file = fopen("/dictionary", "r");
    if (!file || fread(dictionary, sizeof dictionary, 1, file) != 1)
        fail("dictionary");
    fclose(file);
    if (set[FLAGS] & DISK && (disk = open("/dev/vda", O_RDWR | O_DIRECT | O_DSYNC)) < 0)
        fail("/dev/vda");
    pages = mmap(NULL, set[F] * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || posix_memalign((void **)&sector, 4096, 4096))
        fail("memory");
    for (u64 page = 0; page < set[F]; page++)
        fill(pages + page * WORDS, content(page, 0), WORDS);
    chain = mix(set[SEED]);
}

int main(int count, char **arguments)
{
    setvbuf(stdout, NULL, _IOLBF, 256);
    if (count != 2)
        fail("usage");
    double began = now_s();
    prepare(arguments[1]);
    printf("FILLED ms=%.0f\n", (now_s() - began) * 1e3);
    run();
}
