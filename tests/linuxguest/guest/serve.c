/*
 * The guest's TCP server. Port 7: every byte comes back. Port 19: after a line with bytes per
 * second come numbered words without end, so that their receiver sees whether one is missing,
 * doubled or out of order: word i of 64 bits, little-endian, is i.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ECHO = 7, NUMBERED = 19, BLOCK = 512 };

static int listen_on(int port)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 16)) {
        printf("PANIC port %d: %m\n", port);
        exit(1);
    }
    return listener;
}

static void write_all(int to, const char *from, ssize_t length)
{
    while (length > 0) {
        ssize_t wrote = write(to, from, length);
        if (wrote <= 0)
            exit(0);
        from += wrote;
        length -= wrote;
    }
}

static void echo(int peer)
{
    char buffer[65536];
    ssize_t got;
    while ((got = read(peer, buffer, sizeof buffer)) > 0)
        write_all(peer, buffer, got);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void numbered(int peer)
{
    char line[32] = "";
    uint64_t block[BLOCK], next = 0;
    for (int i = 0; i < 31 && read(peer, line + i, 1) == 1 && line[i] != '\n'; i++)
        ;
    double rate = atof(line), since = now_s();
    if (rate <= 0)
        return;
    for (;;) {
        for (int i = 0; i < BLOCK; i++)
            block[i] = next++;
        write_all(peer, (char *)block, sizeof block);
        double ahead_s = next * 8 / rate - (now_s() - since);
        if (ahead_s > 0.001)
            usleep(ahead_s * 1e6);
    }
}

int main(void)
{
    struct pollfd listeners[] = {{listen_on(ECHO), POLLIN, 0}, {listen_on(NUMBERED), POLLIN, 0}};
    signal(SIGCHLD, SIG_IGN);
    while (poll(listeners, 2, -1) > 0)
        for (int i = 0; i < 2; i++) {
            if (!listeners[i].revents)
                continue;
            int peer = accept(listeners[i].fd, NULL, NULL);
            if (fork() == 0) {
                i == 0 ? echo(peer) : numbered(peer);
                exit(0);
            }
            close(peer);
        }
}
