/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the text protocol: requests and the answers that memcached 1.6.18 gives to them.
 * tests/memcached_compare.py compares many more with memcached's; here are those that show the
 * rules, and those that memcached doesn't take over UDP.
 */
#include "apps/udpkv/text_test.h"

#define K10  "kkkkkkkkkk"
#define K50  K10 K10 K10 K10 K10
#define K250 K50 K50 K50 K50 K50
#define BAD  "CLIENT_ERROR bad command line format\r\n"

struct text test_text;
static uint8_t answer[16 << 10];

static bool no_more(struct reply *reply)
{
    (void)reply;
    return false;
}

void test_fresh(void)
{
    test_text = (struct text){
        .shards = test_shards(1, STORE_MIN_BYTES), .next = &test_text, .start_s = TEST_NOW_S};
}

const char *test_ask(const void *request, size_t len, enum text_end end)
{
    static uint8_t memory[4096];
    uint8_t *copy = memory + sizeof memory - len;
    struct reply reply = {.at = answer, .end = answer + sizeof answer - 1, .more = no_more};

    assert(len <= sizeof memory);
    memcpy(copy, request, len);
    CHECK_EQ(text_run(&test_text, copy, len, NULL, &reply), end);
    *reply.at = 0;
    return (const char *)answer;
}

void test_run(const struct exchange *exchanges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK_STR(test_ask(exchanges[i].request, strlen(exchanges[i].request), TEXT_WHOLE),
                  exchanges[i].answer);
}

TEST(text_get_and_set)
{
    test_fresh();
    RUN({"get a\r\n", "END\r\n"}, {"set a 5 0 3\r\nabc\r\n", "STORED\r\n"},
        {"get a\r\n", "VALUE a 5 3\r\nabc\r\nEND\r\n"},
        {"gets a\n", "VALUE a 5 3 1\r\nabc\r\nEND\r\n"}, {"set b 0 0 0\r\n\r\n", "STORED\r\n"},
        {"get a x b\r\n", "VALUE a 5 3\r\nabc\r\nVALUE b 0 0\r\n\r\nEND\r\n"},
        {"set a 0 0 3 noreply\r\nxyz\r\n", ""}, {"get  a \r\n", "VALUE a 0 3\r\nxyz\r\nEND\r\n"},
        {"get\r\n", "ERROR\r\n"}, {"GET a\r\n", "ERROR\r\n"}, {"\r\n", "ERROR\r\n"},
        {"set a 0 0\r\n", "ERROR\r\n"}, {"set a x 0 1\r\nx\r\n", BAD "ERROR\r\n"},
        {"set a 0 0 -1\r\n", BAD}, {"version\r\n", "VERSION " TEXT_VERSION "\r\n"});
}

TEST(text_data_blocks)
{
    test_fresh();
    RUN({"set a 0 0 3\r\nabcde\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n"},
        {"set a 0 0 3 noreply\r\nabcde\r\n", "ERROR\r\n"},
        {"set a 0 0 5\r\nabc\r\n", "CLIENT_ERROR bad data chunk\r\n"},
        {"set a 0 0 5\r\nabcde", "CLIENT_ERROR bad data chunk\r\n"},
        {"set a 0 0 5\r\nabcde\r", "CLIENT_ERROR bad data chunk\r\n"},
        {"set a 0 0 1\r\n", "CLIENT_ERROR bad data chunk\r\n"},
        {"set a 0 0 5 noreply\r\nabc\r\n", ""}, {"get a\r\n", "END\r\n"},
        {"set a 0 0 2147483645\r\nx\r\n", "SERVER_ERROR object too large for cache\r\n"},
        {"set a 0 0 2147483646\r\n", BAD}, {"set a 0 0 99999999999999999999\r\n", BAD},
        {"set a 0 0 7\r\nget b\r\n\r\nversion\r\n", "STORED\r\nVERSION " TEXT_VERSION "\r\n"});
}

TEST(text_storage_commands)
{
    test_fresh();
    RUN({"replace a 0 0 1\r\nx\r\n", "NOT_STORED\r\n"},
        {"append a 0 0 1\r\nx\r\n", "NOT_STORED\r\n"}, {"cas a 0 0 1 1\r\nx\r\n", "NOT_FOUND\r\n"},
        {"add a 1 0 1\r\nx\r\n", "STORED\r\n"}, {"add a 1 0 1\r\nx\r\n", "NOT_STORED\r\n"},
        {"prepend a 9 0 1\r\n<\r\n", "STORED\r\n"}, {"append a 9 0 1\r\n>\r\n", "STORED\r\n"},
        {"gets a\r\n", "VALUE a 1 3 3\r\n<x>\r\nEND\r\n"}, {"cas a 2 0 1 2\r\ny\r\n", "EXISTS\r\n"},
        {"cas a 2 0 1 3\r\ny\r\n", "STORED\r\n"}, {"get a\r\n", "VALUE a 2 1\r\ny\r\nEND\r\n"},
        {"cas a 2 0 1 x\r\ny\r\n", BAD "ERROR\r\n"}, {"cas a 2 0 1\r\n", "ERROR\r\n"});
}

TEST(text_delete_incr_decr)
{
    test_fresh();
    RUN({"delete a\r\n", "NOT_FOUND\r\n"}, {"incr a 1\r\n", "NOT_FOUND\r\n"},
        {"set a 0 0 2\r\n99\r\n", "STORED\r\n"}, {"incr a 1\r\n", "100\r\n"},
        {"decr a 98\r\n", "2\r\n"}, {"get a\r\n", "VALUE a 0 3\r\n2  \r\nEND\r\n"},
        {"decr a 3\r\n", "0\r\n"}, {"incr a 18446744073709551615\r\n", "18446744073709551615\r\n"},
        {"incr a 2\r\n", "1\r\n"},
        {"incr a -1\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n"},
        {"incr a 1 noreply\r\n", ""}, {"delete a 0\r\n", "DELETED\r\n"},
        {"set a 0 0 1\r\nx\r\n", "STORED\r\n"},
        {"incr a 1\r\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"},
        {"delete a 1\r\n",
         "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"},
        {"delete a noreply\r\n", ""}, {"get a\r\n", "END\r\n"},
        {"delete noreply\r\n", "NOT_FOUND\r\n"});
}

TEST(text_keys_of_250_bytes_and_no_more)
{
    test_fresh();
    RUN({"set " K250 " 0 0 1\r\nx\r\n", "STORED\r\n"},
        {"get " K250 "\r\n", "VALUE " K250 " 0 1\r\nx\r\nEND\r\n"},
        {"set " K250 "k 0 0 1\r\nx\r\n", BAD "ERROR\r\n"}, {"get " K250 " " K250 "k\r\n", BAD},
        {"delete " K250 "k\r\n", BAD}, {"incr " K250 "k 1\r\n", BAD},
        {"touch " K250 "k 0\r\n", BAD}, {"touch " K250 "k 0 noreply\r\n", ""});
}

TEST(text_times)
{
    test_fresh();
    RUN({"set a 0 10 1\r\nx\r\n", "STORED\r\n"}, {"set b 0 1700000020 1\r\nx\r\n", "STORED\r\n"},
        {"set c 0 -1 1\r\nx\r\n", "STORED\r\n"}, {"set d 0 2592001 1\r\nx\r\n", "STORED\r\n"},
        {"get a b c d\r\n", "VALUE a 0 1\r\nx\r\nVALUE b 0 1\r\nx\r\nEND\r\n"});
    shards_tick(&test_text.shards, TEST_NOW_S + 10);
    RUN({"get a b\r\n", "VALUE b 0 1\r\nx\r\nEND\r\n"}, {"touch a 5\r\n", "NOT_FOUND\r\n"},
        {"touch b 60\r\n", "TOUCHED\r\n"},
        {"touch b x\r\n", "CLIENT_ERROR invalid exptime argument\r\n"});
    shards_tick(&test_text.shards, TEST_NOW_S + 69);
    RUN({"gat 1 b\r\n", "VALUE b 0 1\r\nx\r\nEND\r\n"});
    shards_tick(&test_text.shards, TEST_NOW_S + 70);
    RUN({"get b\r\n", "END\r\n"}, {"set a 0 0 1\r\nx\r\n", "STORED\r\n"},
        {"flush_all 10\r\n", "OK\r\n"}, {"get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n"});
    shards_tick(&test_text.shards, TEST_NOW_S + 80);
    RUN({"get a\r\n", "END\r\n"}, {"set a 0 0 1\r\nx\r\n", "STORED\r\n"},
        {"flush_all noreply\r\n", ""}, {"get a\r\n", "END\r\n"},
        {"flush_all x\r\n", "CLIENT_ERROR invalid exptime argument\r\n"});
}

TEST(text_several_commands_and_a_cut_one)
{
    test_fresh();
    RUN({"set a 0 0 1\r\nx\r\nget a\r\nfoo\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\nERROR\r\n"},
        {"verbosity 0 noreply\r\ndelete a noreply\r\n", ""},
        {"get a\r\nquit\r\nget a\r\n", "END\r\n"});
    CHECK_STR(test_ask("get a\r\nget a", 12, TEXT_CUT), "END\r\n");
    CHECK_STR(test_ask("", 0, TEXT_WHOLE), "");
    CHECK_STR(test_ask("a", 1, TEXT_CUT), "");
    RUN({"set a 0 0 1\r\nx\r\n", "STORED\r\n"});
    /* the line ends at the zero */
    CHECK_STR(test_ask("get a\0b c\r\n", 11, TEXT_WHOLE), "VALUE a 0 1\r\nx\r\nEND\r\n");
    CHECK_STR(test_ask("\0\r\n", 3, TEXT_WHOLE), "ERROR\r\n");
}

TEST(text_stats_are_lines)
{
    test_fresh();
    RUN({"get a\r\n", "END\r\n"}, {"stats foo\r\n", "ERROR\r\n"});
    const char *lines = test_ask("stats\r\n", 7, TEXT_WHOLE);
    CHECK(strncmp(lines, "STAT pid 1\r\nSTAT uptime 0\r\nSTAT time 1700000000\r\n", 48) == 0);
    CHECK(test_text.stats.get_misses == 1 && test_text.commands == 3);
    RUN({"stats reset\r\n", "RESET\r\n"});
    CHECK_EQ(text_sum_stats(&test_text).get_misses, 0);
}

/* An answer that finds no room ends; what comes after isn't run. */
TEST(text_stops_when_the_reply_breaks)
{
    static const char request[] = "set a 0 0 5\r\nhello\r\nget a\r\ndelete a\r\n";
    uint8_t small[20];
    struct reply reply = {.at = small, .end = small + sizeof small, .more = no_more};

    test_fresh();
    text_run(&test_text, (const uint8_t *)request, sizeof request - 1, NULL, &reply);
    CHECK(reply.broken);
    CHECK_EQ(test_text.shards.first->stats.items, 1);
}

/* Mutated requests, one in eight of them large by blanks in front: no crash, no reading or writing
 * outside (ASan watches). */
TEST(text_takes_anything)
{
    enum { BLANKS = TEXT_MAX_REQUEST };
    static const char seed[] =
        "set a 0 0 3\r\nabc\r\nget a bb\r\nincr n 18446744073709551615\r\n"
        "append a 1 2 5 noreply\r\n12345\r\ncas a 0 0 1 7\r\nx\r\ngat -1 a\r\n"
        "delete a 0\r\nflush_all 1\r\nverbosity 1\r\ntouch a 1\r\nstats\r\n"
        "ms a 2 T5 c\r\nxx\r\nmg a v t k Oq R9\r\nma n D5 N1 J2 v\r\nmd a q I T9\r\nme a\r\n"
        "ms YQ== 1 b k MA I\r\nx\r\nmg YQ== b k v s\r\nmn\r\n";
    static char request[BLANKS + sizeof seed];
    uint64_t random = 7;

    test_fresh();
    for (uint32_t i = 0; i < 30000; i++) {
        char *end = request + sizeof request, *text = end - (sizeof seed - 1);
        size_t len = test_random(&random) % sizeof seed;
        memcpy(text, seed, sizeof seed - 1);
        for (uint32_t n = test_random(&random) % 8; n > 0; n--)
            text[test_random(&random) % (sizeof seed - 1)] =
                "\r\n 0-9a\0\xff"[test_random(&random) % 9];
        if (len > 0 && test_random(&random) % 8 == 0) {
            memset(request, ' ', sizeof request - len);
            len += BLANKS;
        }
        struct reply reply = {.at = answer, .end = answer + sizeof answer, .more = no_more};
        text_run(&test_text, (const uint8_t *)end - len, len, NULL, &reply);
    }
    CHECK(test_text.commands > 30000);
}
