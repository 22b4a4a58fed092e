/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * console.c - lines on the console; for all platforms.
 *
 * A console that nobody reads holds up no loop. All text goes through a buffer, and from there to
 * the device as far as it takes it, for about a millisecond a call: at once, and later in
 * console_turn. Only an app that isn't in its loop waits when the buffer is full, until the device
 * has taken nothing for a second. What still finds no room is left out by whole lines, and how many
 * they were is said in their place once there is room again.
 *
 *        taken by the device     kept                 free
 *     +---------------------+--------------------+----------+     indices run free
 *                           ^ head               ^ tail
 */
#include "boot/console.h"
#include "boot/boot.h"

enum { KEPT_BYTES = 16 << 10, PIECE_BYTES = 1 << 10, NOTE_BYTES = 100 };
_Static_assert(IS_POWER_OF_2(KEPT_BYTES), "indices are masked");
_Static_assert(PIECE_BYTES + NOTE_BYTES < KEPT_BYTES, "a piece and a note fit in");

/* In cycles: about 1 ms, 10 ms, 0.1 s and 1 s, on processors of 1 to 4 GHz. There are lines before
 * the clock's frequency is known. */
#define ABOUT_1_MS   (1ull << 21)
#define ABOUT_10_MS  (1ull << 24)
#define ABOUT_100_MS (1ull << 28)
#define ABOUT_1_S    (1ull << 31)
#define ABOUT_10_S   (10 * ABOUT_1_S)

static struct {
    uint32_t busy;             /* a core is in here */
    uint32_t head, tail, line; /* line: where the last one begins, ended or not */
    uint32_t lines_left_out;
    bool leaving_out;    /* the rest of this line, too */
    uint64_t tried;      /* cycles, when the device was last offered text */
    uint64_t full_since; /* cycles, since when it has taken nothing; 0: it takes what it is given */
    uint64_t turn;       /* cycles, of the last console_turn; 0: none */
} kept;
static char kept_text[KEPT_BYTES] UNCLEARED;

static bool passed(uint64_t since, uint64_t cycles)
{
    return clock_cycles() - since >= cycles;
}

/* A core that has held it for a second has failed in here. */
static void enter(void)
{
    const uint64_t since = clock_cycles();

    while (__atomic_exchange_n(&kept.busy, 1, __ATOMIC_ACQUIRE) && !passed(since, ABOUT_1_S))
        __asm__ volatile("pause");
}

static void leave(void)
{
    store_release(&kept.busy, 0u); /* what was written in here is seen by who enters next */
}

static bool in_loop(void)
{
    return kept.turn && !passed(kept.turn, ABOUT_100_MS);
}

/* Gives the device what is kept, as far as it takes it now. What has waited goes out for a
 * millisecond at most in a loop, as each byte may cost an exit to the VMM. A device that took
 * nothing isn't asked again for a millisecond. */
static void move_out(bool has_waited)
{
    const uint64_t start = clock_cycles();

    if (kept.full_since && start - kept.tried < ABOUT_1_MS)
        return;
    kept.tried = start;
    while (kept.head != kept.tail && !(has_waited && passed(start, ABOUT_1_MS) && in_loop())) {
        uint32_t at = kept.head % KEPT_BYTES;
        size_t n = console_device_put(kept_text + at, MIN(kept.tail - kept.head, KEPT_BYTES - at));
        if (n == 0) {
            if (!kept.full_since)
                kept.full_since = start | 1;
            return;
        }
        kept.head += (uint32_t)n;
        kept.full_since = 0;
        if ((int32_t)(kept.tail - kept.head) < 0) /* two cores gave the same text: see enter() */
            kept.head = kept.tail;
    }
}

static bool nobody_reads(void)
{
    return kept.full_since && passed(kept.full_since, ABOUT_1_S);
}

static void append(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        kept_text[kept.tail++ % KEPT_BYTES] = text[i];
    if (text[len - 1] == '\n')
        kept.line = kept.tail;
}

/* Room for so much more, for the note of what was left out, and for the end of a line. */
static bool has_room(size_t len)
{
    return KEPT_BYTES - (kept.tail - kept.head) > len + (kept.lines_left_out ? NOTE_BYTES : 0);
}

static void tell_left_out(void)
{
    char note[NOTE_BYTES];

    if (kept.lines_left_out == 0)
        return;
    append(note, format(note, sizeof note,
                        "Ringloop: %u lines are left out here: the console wasn't read.\n",
                        kept.lines_left_out));
    kept.lines_left_out = 0;
}

/* A line that has begun won't go on: takes it back, or ends it if the device has a part of it. */
static void leave_out_begun(void)
{
    if ((int32_t)(kept.line - kept.head) >= 0)
        kept.tail = kept.line;
    else if (kept.line != kept.tail)
        append("\n", 1); /* has_room spares a byte for it */
}

/* A line up to its end, or a piece of one. */
static void write_piece(const char *text, size_t len)
{
    const bool ends = text[len - 1] == '\n';

    move_out(true);
    while (!has_room(len) && !kept.leaving_out && !in_loop() && !nobody_reads()) {
        console_device_wait();
        move_out(true);
    }
    if (!kept.leaving_out && has_room(len)) {
        const bool has_waited = kept.head != kept.tail;
        tell_left_out();
        append(text, len);
        move_out(has_waited);
        return;
    }
    if (!kept.leaving_out) {
        kept.lines_left_out++;
        leave_out_begun();
    }
    kept.leaving_out = !ends;
}

void boot_console_write(const char *text, size_t len)
{
    enter();
    while (len > 0) {
        size_t n = 1;
        while (n < len && n < PIECE_BYTES && text[n - 1] != '\n')
            n++;
        write_piece(text, n);
        text += n;
        len -= n;
    }
    leave();
}

void console_turn(void)
{
    if (kept.turn && !passed(kept.turn, ABOUT_10_MS))
        return;
    kept.turn = clock_cycles() | 1;
    if (kept.head == kept.tail)
        return;
    enter();
    move_out(true);
    leave();
}

uint64_t console_sleep_until(uint64_t deadline_ns)
{
    const uint64_t soon_ns = 10000000, late_ns = 1000000000;
    uint64_t wake_ns = 0;

    if (kept.head == kept.tail)
        return deadline_ns;
    enter();
    move_out(true);
    if (kept.head == kept.tail)
        wake_ns = deadline_ns;
    else if (kept.full_since)
        wake_ns = MIN(deadline_ns, clock_ns() + (nobody_reads() ? late_ns : soon_ns));
    leave();
    return wake_ns;
}

bool console_flush(void)
{
    enter();
    if (has_room(0))
        tell_left_out();
    kept.tried = 0; /* the device may be another one than before */
    move_out(true);
    for (uint64_t since = clock_cycles(); kept.head != kept.tail && !nobody_reads();) {
        if (passed(since, ABOUT_10_S)) /* a reader that takes a byte a second isn't waited for */
            break;
        console_device_wait();
        move_out(true);
    }
    const bool all = kept.head == kept.tail;
    for (uint64_t since = clock_cycles(); all && !console_device_empty();) {
        if (passed(since, ABOUT_1_S))
            break;
        console_device_wait();
    }
    leave();
    return all;
}

/* --- lines ---------------------------------------------------------------------------------- */

/* The number of the console's line; in the lowest bits which core has begun it, as core + 1, or 0
 * if none has. */
static uint32_t console_line;
enum { LINE_OWNER = 15, LINE_NEXT = 16 };
_Static_assert(BOOT_CORES_MAX < LINE_OWNER, "a core and one fit in");

/* Waits until no other core's line is unfinished, and begins one of this core. A line that takes
 * more than about a second isn't waited for: its core has failed, or prints no newline. */
RUNS_SELDOM static void line_begin(void)
{
    const uint32_t me = boot_core() + 1;
    uint32_t seen = LINE_OWNER, now = load_acquire(&console_line);
    uint64_t since = 0;

    while ((now & LINE_OWNER) != me) {
        if (now != seen) {
            seen = now;
            since = clock_cycles();
        }
        bool mine = (now & LINE_OWNER) == 0 || clock_cycles() - since > 1ull << 31;
        if (mine && __atomic_compare_exchange_n(&console_line, &now, (now & ~LINE_OWNER) + me,
                                                false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
        __asm__ volatile("pause");
        now = load_acquire(&console_line);
    }
}

static void vprint(const char *fmt, va_list args)
{
    char text[1024];
    size_t len = MIN(vformat(text, sizeof text, fmt, args), sizeof text - 1);

    line_begin();
    boot_console_write(text, len);
    if (len > 0 && text[len - 1] == '\n')
        store_release(&console_line, (console_line & ~LINE_OWNER) + LINE_NEXT);
}

void print(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vprint(fmt, args);
    va_end(args);
}
