/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of what ends boot_wait in a host process: files and signals. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boot/boot.h"
#include "boot/linux/linux.h"
#include "boot/test.h"

#define FOREVER UINT64_MAX

TEST(wait_ends_when_a_file_is_readable)
{
    int one = eventfd(0, EFD_NONBLOCK), two = eventfd(0, EFD_NONBLOCK);
    uint64_t interrupts = boot_interrupts();

    linux_wait_fd(one, true);
    linux_wait_fd(two, true);
    linux_wait_fd(two, true);
    eventfd_write(two, 3); /* before the wait: it isn't lost */
    boot_wait(FOREVER);
    CHECK_EQ(boot_interrupts() - interrupts, 1);
    eventfd_write(one, 1);
    eventfd_write(two, 1);
    boot_wait(FOREVER);
    CHECK_EQ(boot_interrupts() - interrupts, 3);
    linux_wait_fd(one, false);
    linux_wait_fd(one, false);
    eventfd_write(one, 1);
    eventfd_write(two, 1);
    boot_wait(FOREVER);
    CHECK_EQ(boot_interrupts() - interrupts, 4);
    linux_wait_fd(two, false);
    uint64_t deadline_ns = clock_ns() + 1000000;
    boot_wait(deadline_ns); /* neither counts: `one` is still readable */
    CHECK(clock_ns() >= deadline_ns);
    close(one);
    close(two);
}

TEST(wait_leaves_a_file_that_is_no_eventfd_as_it_is)
{
    const uint64_t interrupts = boot_interrupts();
    int ends[2], one = eventfd(0, EFD_NONBLOCK);
    char text[2];

    CHECK(pipe2(ends, O_NONBLOCK) == 0);
    linux_wait_readable(ends[0], true);
    linux_wait_fd(one, true);
    CHECK(write(ends[1], "ab", 2) == 2);
    boot_wait(FOREVER);
    boot_wait(FOREVER); /* it is still readable */
    CHECK_EQ(boot_interrupts() - interrupts, 2);
    CHECK(read(ends[0], text, sizeof text) == 2 && text[0] == 'a');
    linux_wait_readable(ends[0], false);
    eventfd_write(one, 1); /* it has taken the other one's place in the list, as an eventfd */
    boot_wait(FOREVER);
    CHECK_EQ(boot_interrupts() - interrupts, 3);
    boot_wait(clock_ns() + 1000000);
    CHECK_EQ(boot_interrupts() - interrupts, 3);
    linux_wait_fd(one, false);
    close(one);
    close(ends[0]);
    close(ends[1]);
}

TEST(wait_for_a_closed_file_is_refused)
{
    int fd = eventfd(0, EFD_NONBLOCK);

    linux_wait_fd(fd, true);
    close(fd);
    CHECK_PANICS(boot_wait(FOREVER));
    linux_wait_fd(fd, false);
}

/* Another process waits, as the signal is for good. It comes before, while and after it begins to.
 */
TEST(wait_ends_by_a_signal_whenever_it_comes)
{
    for (int i = 0; i < 100; i++) {
        uint64_t signal_ns = clock_ns() + (uint64_t)i * 10000;
        eventfd_t told;
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            boot_wait(FOREVER);
            _exit(boot_stopping() ? 0 : 1);
        }
        CHECK(pid > 0);
        while (clock_ns() < signal_ns)
            ;
        kill(pid, i % 2 ? SIGINT : SIGTERM);
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 0);
        eventfd_read(linux_stop_fd, &told); /* the file is ours, too */
    }
}
