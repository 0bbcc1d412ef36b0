/* Preloaded into a hypervisor: lets the daemon learn which pages of guest memory were written.
 *
 * A userfaultfd belongs to the process that made it, so it must be made in here. A thread listens on
 * the socket named by BMIG_DIRTYLOG_SOCKET and does nothing until asked. The rules:
 * - The hypervisor must never end or hang because of this: whatever goes wrong is an answer.
 * - Memory is watched only while the asker's connection lasts, so a daemon that dies leaves nothing.
 *
 * Asked: the path of the file that is guest memory, and a newline. Answered: "ok START LENGTH OFFSET"
 * (hexadecimal; OFFSET in the file) or "no STEP ERRNO", and a newline.
 */
#ifdef __linux__
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* WP_ASYNC, WP_UNPOPULATED, WP_HUGETLBFS_SHMEM: headers may be older than the kernel. */
#define FEATURES (1ULL << 15 | 1ULL << 13 | 1ULL << 12)
#define PIECE_BYTES (4UL << 20)
#define USER_MODE_ONLY 1 /* needs no privilege; asynchronous protection never asks user space */

struct mapping { unsigned long start, length, offset; };

/* The one stretch of addresses where the file is mapped shared and writable; 0 or an errno. */
static int find(const char *path, struct mapping *found)
{
    char *line = NULL, access[8];
    size_t size = 0;
    unsigned long start, end, offset;
    int at, error = ENOENT;
    FILE *maps = fopen("/proc/self/maps", "re");

    if (!maps)
        return errno;
    while (getline(&line, &size, maps) > 0) {
        line[strcspn(line, "\n")] = at = 0;
        if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %n", &start, &end, access, &offset, &at) != 4 ||
            !at || strcmp(line + at, path) || strcmp(access, "rw-s"))
            continue;
        if (error == ENOENT) {
            *found = (struct mapping){start, end - start, offset};
            error = 0;
        } else if (start == found->start + found->length && offset == found->offset + found->length)
            found->length += end - start;
        else
            error = EEXIST; /* writes through the other one would not be seen */
    }
    free(line);
    fclose(maps);
    return error;
}

/* Watch the file's mapping; the descriptor that keeps it watched, or -1. Fills in the answer. */
static int watch(const char *path, struct mapping *found, char *answer, size_t size)
{
    struct uffdio_api api = {.api = UFFD_API, .features = FEATURES};
    struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_WP};
    const char *step = "mapping";
    int fd = -1, error = find(path, found);

    range.range = (struct uffdio_range){found->start, found->length};
    if (!error) {
        step = "userfaultfd";
        fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY);
        if (fd >= 0 && (step = "features", ioctl(fd, UFFDIO_API, &api) == 0) &&
            (step = "register", ioctl(fd, UFFDIO_REGISTER, &range) == 0)) {
            snprintf(answer, size, "ok %lx %lx %lx\n", found->start, found->length, found->offset);
            return fd;
        }
        error = errno;
    }
    snprintf(answer, size, "no %s %d\n", step, error);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Piece by piece: the guest waits while the kernel takes protection away. */
static void unwatch(int fd, struct mapping was)
{
    for (unsigned long at = 0; at < was.length; at += PIECE_BYTES) {
        struct uffdio_range piece = {was.start + at, PIECE_BYTES};

        if (ioctl(fd, UFFDIO_UNREGISTER, &piece))
            break; /* past the end, or huge pages: closing does the rest */
    }
    close(fd);
}

static void serve(int connection)
{
    struct mapping found = {0, 0, 0};
    char path[PATH_MAX + 1], answer[128];
    ssize_t got = recv(connection, path, sizeof path, 0); /* a path is sent at once */
    int fd;

    if (got <= 0 || path[got - 1] != '\n')
        return;
    path[got - 1] = 0;
    fd = watch(path, &found, answer, sizeof answer);
    send(connection, answer, strlen(answer), MSG_NOSIGNAL);
    if (fd >= 0) {
        recv(connection, answer, sizeof answer, 0); /* returns when the asker closes */
        unwatch(fd, found);
    }
}

static int listener = -1;

static void *listen_for_ever(void *unused)
{
    (void)unused;
    for (;;) {
        int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (connection >= 0) {
            serve(connection);
            close(connection);
        } else
            sleep(1); /* no descriptors left, for example */
    }
    return NULL;
}

/* A child that executes nothing has no thread to answer with. */
static void close_in_child(void)
{
    close(listener);
}

__attribute__((constructor)) static void begin(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("BMIG_DIRTYLOG_SOCKET");
    sigset_t all, before;
    pthread_t thread;
    mode_t mask;
    int fd;

    if (!path || strlen(path) >= sizeof address.sun_path)
        return;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (!connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd); /* the hypervisor started this process: it is there already */
        return;
    }
    unlink(address.sun_path); /* of one that ended, or that became this one */
    mask = umask(0177);
    listener = fd;
    pthread_atfork(NULL, NULL, close_in_child);
    sigfillset(&all); /* signals are the hypervisor's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4) ||
        pthread_create(&thread, NULL, listen_for_ever, NULL)) {
        close(fd); /* who connects is refused */
        listener = -1;
    } else
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    umask(mask);
}
#else
typedef int nothing_here; /* other systems have no userfaultfd */
#endif
