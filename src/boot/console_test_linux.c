/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of console.c. The device is a pipe in place of standard output. One of a single page takes
 * up to 256 bytes, the most that it is given at a time, and then nothing until it is read; one of
 * many pages takes all.
 *
 * While it lasts no check may fail, as nobody would read why: tests check what came, afterwards.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "boot/boot.h"
#include "boot/console.h"
#include "boot/test.h"

enum { KEPT_BYTES = 16 << 10, TAKEN_BYTES = 256, SMALL_PIPE = 4096, LARGE_PIPE = 1 << 20 };
#define NOT_IN_LOOP (1ull << 29) /* cycles, more than the 0.1 s for which console_turn counts */

static int ends[2], standard_output;
static char got[1 << 20]; /* all that the device was given */
static size_t got_len;

static void take_all(void)
{
    ssize_t n;

    while ((n = read(ends[0], got + got_len, sizeof got - 1 - got_len)) > 0)
        got_len += (size_t)n;
    got[got_len] = 0;
}

static void begin(int pipe_bytes)
{
    console_flush();
    got_len = 0;
    CHECK(pipe2(ends, O_NONBLOCK) == 0);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, pipe_bytes) >= pipe_bytes);
    standard_output = dup(STDOUT_FILENO);
    dup2(ends[1], STDOUT_FILENO);
}

/* Somebody reads all that there is. */
static bool read_all(void)
{
    fcntl(ends[1], F_SETPIPE_SZ, LARGE_PIPE);
    const bool all = console_flush();
    take_all();
    return all;
}

static void end(void)
{
    dup2(standard_output, STDOUT_FILENO);
    close(standard_output);
    close(ends[0]);
    close(ends[1]);
}

/* From here on the device takes nothing. */
static void fill(void)
{
    boot_console_write("|\n", 2);
    console_flush();
}

/* Lines of 60 bytes; returns how many, fewer if it took too long. */
static uint32_t write_lines(char mark, uint32_t count)
{
    char line[100];

    for (uint32_t i = 0; i < count; i++) {
        if (test_is_late())
            return i;
        size_t len = format(line, sizeof line, "%c%u ", mark, i);
        memset(line + len, '.', 60 - len);
        line[59] = '\n';
        boot_console_write(line, 60);
    }
    return count;
}

/* Passes over the lines of that mark, which are numbered from 0 on; returns how many. */
static uint32_t lines_at(const char **at, char mark)
{
    char wanted[100];

    for (uint32_t count = 0;; count++) {
        size_t len = format(wanted, sizeof wanted, "%c%u ", mark, count);
        if (strncmp(*at, wanted, len) != 0)
            return count;
        for (; len < 59; len++)
            CHECK_EQ((*at)[len], '.');
        CHECK_EQ((*at)[59], '\n');
        *at += 60;
    }
}

/* The next line is the note of so many lines. */
static bool note_at(const char **at, uint32_t lines)
{
    char note[100];
    const size_t len =
        format(note, sizeof note,
               "Ringloop: %u lines are left out here: the console wasn't read.\n", lines);

    if (strncmp(*at, note, len) != 0)
        return false;
    *at += len;
    return true;
}

static const char *behind_fill(void)
{
    CHECK(strncmp(got, "|\n", 2) == 0);
    return got + 2;
}

TEST(console_passes_on_all_that_is_read)
{
    enum { ROUNDS = 50, LINES = 40 }; /* its indices go round the buffer several times */
    uint32_t lacking = 0;

    begin(LARGE_PIPE);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        write_lines('a', LINES);
        lacking += !read_all();
    }
    end();
    const char *at = got;
    CHECK_EQ(lacking, 0);
    for (uint32_t i = 0; i < ROUNDS; i++)
        CHECK_EQ(lines_at(&at, 'a'), LINES);
    CHECK_EQ(at - got, got_len);
}

TEST(console_keeps_lines_until_they_are_read)
{
    begin(SMALL_PIPE);
    fill();
    console_turn();
    write_lines('a', 100);
    take_all();
    const size_t before = got_len;
    const bool all = read_all();
    end();
    const char *at = behind_fill();
    CHECK_EQ(before, 2);
    CHECK(all);
    CHECK_EQ(lines_at(&at, 'a'), 100);
    CHECK_EQ(at - got, got_len);
}

/* The note is told as soon as there is room, once, and in the place of what it counts. */
TEST(console_leaves_out_whole_lines_and_counts_them)
{
    enum { LINES = 1000, KEPT_LINES = KEPT_BYTES / 60 };

    for (uint32_t round = 0; round < 3; round++) {
        begin(SMALL_PIPE);
        fill();
        console_turn();
        const uint32_t written = write_lines('a', LINES);
        bool all = read_all();
        write_lines('b', 10);
        all = all && read_all();
        end();
        const char *at = behind_fill();
        CHECK(all);
        CHECK_EQ(written, LINES);
        CHECK_EQ(lines_at(&at, 'a'), KEPT_LINES);
        CHECK(note_at(&at, LINES - KEPT_LINES));
        CHECK_EQ(lines_at(&at, 'b'), 10);
        CHECK_EQ(at - got, got_len);
    }
}

/* Writes a line that finds no room once it has begun, its end, and another line. Returns what came
 * behind the first `skip` bytes. */
static const char *begun_line(bool device_has_part, size_t skip)
{
    begin(SMALL_PIPE);
    if (!device_has_part)
        fill();
    console_turn();
    for (uint32_t i = 0; i < 2 * KEPT_BYTES / 100; i++) {
        char piece[100];
        memset(piece, 'x', sizeof piece);
        boot_console_write(piece, sizeof piece);
    }
    boot_console_write("its end\n", 8);
    read_all();
    write_lines('b', 1);
    read_all();
    end();
    return got + skip;
}

TEST(console_takes_a_begun_line_back)
{
    const char *at = begun_line(false, 2);

    behind_fill();
    CHECK(note_at(&at, 1));
    CHECK_EQ(lines_at(&at, 'b'), 1);
    CHECK_EQ(at - got, got_len);
}

TEST(console_ends_a_begun_line_that_the_device_has_a_part_of)
{
    const char *at = begun_line(true, 0);

    while (*at == 'x')
        at++;
    CHECK(at - got > KEPT_BYTES - 100 && at - got <= KEPT_BYTES + TAKEN_BYTES);
    CHECK_EQ(*at++, '\n');
    CHECK(note_at(&at, 1));
    CHECK_EQ(lines_at(&at, 'b'), 1);
    CHECK_EQ(at - got, got_len);
}

static bool reads_on;

static void *reader(void *unused)
{
    while (load_acquire(&reads_on))
        take_all();
    return unused;
}

/* A flush gives up, and then an app that isn't in its loop isn't held up any more; until something
 * is read: then it waits for room again, and nothing is left out. */
TEST(console_waits_for_nobody_who_does_not_read)
{
    enum { LINES = 1000, KEPT_LINES = KEPT_BYTES / 60 };
    pthread_t thread;

    begin(SMALL_PIPE);
    fill();
    for (uint64_t start = clock_cycles(); clock_cycles() - start < NOT_IN_LOOP;)
        continue;
    write_lines('a', 1);
    const bool all_at_first = console_flush();
    const uint32_t written = write_lines('b', LINES);
    const bool all = read_all();
    fcntl(ends[1], F_SETPIPE_SZ, SMALL_PIPE);
    store_release(&reads_on, true);
    const bool has_reader = pthread_create(&thread, NULL, reader, NULL) == 0;
    write_lines('c', LINES);
    const bool all_at_last = console_flush();
    store_release(&reads_on, false);
    if (has_reader)
        pthread_join(thread, NULL);
    take_all();
    end();
    const char *at = behind_fill();
    CHECK(!all_at_first && all && has_reader && all_at_last);
    CHECK_EQ(written, LINES);
    CHECK_EQ(lines_at(&at, 'a'), 1);
    CHECK_EQ(lines_at(&at, 'b'), KEPT_LINES - 1);
    CHECK(note_at(&at, LINES - KEPT_LINES + 1));
    CHECK_EQ(lines_at(&at, 'c'), LINES);
    CHECK_EQ(at - got, got_len);
}

enum { LINES_OF_CORE = 2000 };

/* Each line in two parts, which print keeps together. */
static void print_lines(uint32_t core)
{
    for (uint32_t i = 0; i < LINES_OF_CORE; i++) {
        print("core %u", core);
        print(" line %u\n", i);
    }
}

static void write_whole_lines(uint32_t core)
{
    char line[100];

    for (uint32_t i = 0; i < LINES_OF_CORE; i++)
        boot_console_write(line, format(line, sizeof line, "core %u line %u\n", core, i));
}

static void check_lines_of_cores(void (*run)(uint32_t core))
{
    uint32_t next[BOOT_CORES_MAX] = {0}, all = 0;
    char wanted[100];

    begin(LARGE_PIPE);
    boot_run(run);
    read_all();
    end();
    for (const char *at = got; *at; all++) {
        CHECK(strncmp(at, "core ", 5) == 0);
        const uint32_t core = (uint32_t)(at[5] - '0');
        CHECK(core < boot_cores());
        const size_t len = format(wanted, sizeof wanted, "core %u line %u\n", core, next[core]++);
        CHECK(strncmp(at, wanted, len) == 0);
        at += len;
    }
    CHECK_EQ(all, boot_cores() * LINES_OF_CORE);
}

TEST(console_lines_of_cores_do_not_mix)
{
    check_lines_of_cores(write_whole_lines);
    check_lines_of_cores(print_lines);
}
