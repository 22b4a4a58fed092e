/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wait.c - boot_wait of a host process: ppoll over the files that its drivers named, and the one
 * that tells of a signal. A signal that comes right before ppoll has made that file readable
 * already, so none is missed.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

#include "boot/boot.h"
#include "boot/console.h"
#include "boot/linux/linux.h"

/* files[0] is the stop file. */
static _Thread_local struct pollfd files[1 + LINUX_WAIT_FDS];
static _Thread_local bool is_eventfd[1 + LINUX_WAIT_FDS];
static _Thread_local uint32_t file_count; /* without the stop file */
static _Thread_local uint64_t interrupts;

static void set_file(int fd, bool eventfd, bool on)
{
    uint32_t at = 1;

    while (at <= file_count && files[at].fd != fd)
        at++;
    if (on && at > file_count) {
        assert(file_count < LINUX_WAIT_FDS);
        files[at] = (struct pollfd){fd, POLLIN, 0};
        is_eventfd[at] = eventfd;
        file_count++;
    } else if (!on && at <= file_count) {
        is_eventfd[at] = is_eventfd[file_count];
        files[at] = files[file_count--];
    }
}

void linux_wait_fd(int fd, bool on)
{
    set_file(fd, true, on);
}

void linux_wait_readable(int fd, bool on)
{
    set_file(fd, false, on);
}

void boot_wait(uint64_t deadline_ns)
{
    uint64_t now_ns = clock_ns();
    eventfd_t events;

    deadline_ns = console_sleep_until(deadline_ns);
    if (now_ns >= deadline_ns)
        return;
    uint64_t ns = deadline_ns - now_ns;
    struct timespec timeout = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    files[0] = (struct pollfd){linux_stop_fd, POLLIN, 0};
    if (ppoll(files, 1 + file_count, &timeout, NULL) <= 0)
        return;
    for (uint32_t i = 1; i <= file_count; i++) {
        assert(!(files[i].revents & POLLNVAL)); /* closed while it is waited for */
        if (files[i].revents & POLLIN &&
            (!is_eventfd[i] || eventfd_read(files[i].fd, &events) == 0))
            interrupts++;
    }
}

uint64_t boot_interrupts(void)
{
    return interrupts;
}
