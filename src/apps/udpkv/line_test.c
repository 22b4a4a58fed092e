/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of lines: random bytes, read as line.c does it, 16 at a time, and as simply as can be. */
#include "apps/udpkv/line.h"
#include "apps/udpkv/store_test.h"
#include "boot/test.h"

enum { MAX = 80, BEHIND = 32 };

/* The same line, byte by byte; false if there is none. */
static bool read_simply(struct line *line, const uint8_t *from, size_t len)
{
    const uint8_t *end = memchr(from, '\n', len), *at = from;
    struct word word;

    if (!end)
        return false;
    line->taken = (uint32_t)(end - from) + 1;
    if (end > from && end[-1] == '\r')
        end--;
    const uint8_t *zero = memchr(from, 0, (size_t)(end - from));
    end = zero ? zero : end;
    line->len = (uint32_t)(end - from);
    for (line->word_count = 0; line_next_word(&at, end, &word); line->word_count++)
        if (line->word_count < LINE_WORDS)
            line->words[line->word_count] = word;
    return true;
}

/* The bytes that may be read end where their memory ends, so ASan sees when more are read. */
TEST(line_is_read_as_it_stands)
{
    static const uint8_t alphabet[] = "  \r\n\tabcdefgh\x80\xff";
    static uint8_t memory[MAX + BEHIND], copy[MAX];
    uint64_t random = 42;
    uint32_t lines = 0;

    for (uint32_t round = 0; round < 50000; round++) {
        size_t len = test_random(&random) % (MAX + 1);
        size_t readable = len + test_random(&random) % (BEHIND + 1);
        uint8_t *from = memory + sizeof memory - readable;
        struct line got, want;
        for (size_t i = 0; i < readable; i++) /* the closing zero is in it, too, seldom */
            from[i] = alphabet[test_random(&random) % (sizeof alphabet - (round % 8 > 0))];
        bool there = read_simply(&want, from, len);
        CHECK_EQ(line_read(&got, copy, MAX, from, len, readable), there);
        CHECK_EQ(got.taken, there ? want.taken : 0);
        if (!there)
            continue;
        lines++;
        CHECK_EQ(got.len, want.len);
        CHECK_EQ(got.word_count, want.word_count);
        CHECK(memcmp(copy, from, got.taken) == 0);
        for (uint32_t i = 0; i < MIN(want.word_count, (uint32_t)LINE_WORDS); i++) {
            CHECK_EQ(got.words[i].len, want.words[i].len);
            CHECK_EQ(got.words[i].bytes - copy, want.words[i].bytes - from);
        }
    }
    CHECK(lines > 10000);
}

TEST(line_needs_room_for_its_end)
{
    static const uint8_t text[] = "get 0123456789abcdef\r\n";
    uint8_t copy[sizeof text];
    struct line line;

    for (size_t room = 0; room < sizeof text - 1; room++) {
        CHECK(!line_read(&line, copy, room, text, sizeof text - 1, sizeof text - 1));
        CHECK(!line_read(&line, copy, sizeof copy, text, room, room));
    }
    CHECK(line_read(&line, copy, sizeof text - 1, text, sizeof text - 1, sizeof text - 1));
    CHECK_EQ(line.taken, 22);
    CHECK_EQ(line.word_count, 2);
}
