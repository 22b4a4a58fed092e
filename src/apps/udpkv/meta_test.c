/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the meta commands: the rules, with the answers that memcached 1.6.18 gives.
 * tests/memcached_random.py compares the answers to random sequences with those of memcached
 * itself.
 */
#include "apps/udpkv/base64.h"
#include "apps/udpkv/text_test.h"

TEST(meta_get_shows_what_is_asked_for)
{
    test_fresh();
    RUN({"mg a v k Ox\r\n", "EN ka Ox\r\n"}, {"mg a q\r\n", ""}, {"mg\r\n", "ERROR\r\n"},
        {"ms a 3 F7 T60\r\nabc\r\n", "HD\r\n"}, {"mg a h l u\r\n", "HD h0 l0\r\n"},
        {"mg a h\r\n", "HD h0\r\n"},
        {"mg a v c f h k O9 q s t\r\n", "VA 3 c1 f7 h1 ka O9 s3 t60\r\nabc\r\n"},
        {"mg a t T30 k\r\n", "HD t60 ka\r\n"}, {"mg a t T0\r\n", "HD t30\r\n"},
        {"mg a t\r\n", "HD t-1\r\n"}, {"mg a T-1\r\n", "HD\r\n"}, {"mg a\r\n", "EN\r\n"},
        {"mn\r\n", "MN\r\n"}, {"mx a\r\n", "ERROR\r\n"});
    RUN({"ms b 0\r\n\r\n", "HD\r\n"});
    shards_tick(&test_text.shards, TEST_NOW_S + 7);
    RUN({"mg b l\r\n", "HD l7\r\n"}, {"mg b l\r\n", "HD l0\r\n"});
}

TEST(meta_get_lets_one_client_win)
{
    test_fresh();
    RUN({"mg a N30 t v\r\n", "VA 0 t30 W\r\n\r\n"}, {"mg a N30 v\r\n", "VA 0 Z\r\n\r\n"},
        {"ms a 1 T30\r\nx\r\n", "HD\r\n"}, {"mg a R30\r\n", "HD\r\n"}, {"mg a R31\r\n", "HD W\r\n"},
        {"mg a R31\r\n", "HD Z\r\n"}, {"md a I T60\r\n", "HD\r\n"},
        {"mg a t c\r\n", "HD t60 c3 X W\r\n"}, {"mg a\r\n", "HD Z X\r\n"},
        {"ms a 1 C2 I\r\ny\r\n", "HD\r\n"}, {"mg a v t\r\n", "VA 1 t60 Z X\r\ny\r\n"},
        {"ms a 1 C4\r\nz\r\n", "HD\r\n"}, {"mg a\r\n", "HD\r\n"});
}

TEST(meta_set_has_modes_and_compares_ids)
{
    test_fresh();
    RUN({"ms a 1 MR k\r\nx\r\n", "NS ka\r\n"}, {"ms a 1 MA\r\nx\r\n", "NS\r\n"},
        {"ms a 1 C5 c\r\nx\r\n", "NF c0\r\n"}, {"ms a 1 ME c\r\nx\r\n", "HD c1\r\n"},
        {"ms a 1 ME\r\nx\r\n", "NS\r\n"}, {"ms a 1 MA C9\r\n>\r\n", "EX\r\n"},
        {"ms a 1 MA C1\r\n>\r\n", "HD\r\n"}, {"ms a 1 MP q\r\n<\r\n", ""},
        {"mg a v c\r\n", "VA 3 c3\r\n<x>\r\n"}, {"ms a 1 C2 q\r\nx\r\n", "EX\r\n"},
        {"ms a 1 C2 I MP\r\nx\r\n", "EX\r\n"}, {"ms a 1 C3 MR\r\nx\r\n", "HD\r\n"},
        {"ms a 1 C0\r\nx\r\n", "EX\r\n"},
        {"ms a 1 MX\r\nx\r\n", "CLIENT_ERROR invalid mode for ms M token\r\n"},
        {"ms a 1 q\r\nxx\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n"},
        {"ms a 9\r\nx\r\n", "CLIENT_ERROR bad data chunk\r\n"},
        {"ms a x\r\n", "CLIENT_ERROR bad command line format\r\n"},
        {"ms a\r\n", "CLIENT_ERROR bad command line format\r\n"},
        {"ms a 2147483645\r\nx\r\n", "SERVER_ERROR object too large for cache\r\n"});
}

/* What newer memcacheds take and 1.6.18 passes over: N, which lets append and prepend create
 * an item, and s, the length of what is stored. */
TEST(meta_set_has_what_is_newer)
{
    test_fresh();
    RUN({"ms a 2 MA s\r\nxy\r\n", "NS s2\r\n"}, {"ms a 2 MA N60 s F7 c\r\nxy\r\n", "HD s2 c1\r\n"},
        {"mg a v t f\r\n", "VA 2 t60 f7\r\nxy\r\n"}, {"ms a 1 MA N90 T90 s\r\nz\r\n", "HD s3\r\n"},
        {"ms a 1 MP s q\r\nw\r\n", ""}, {"ms a 1 MP s k\r\nv\r\n", "HD s5 ka\r\n"},
        {"mg a v t\r\n", "VA 5 t60\r\nvwxyz\r\n"}, {"ms a 3 s T-1\r\nabc\r\n", "HD s3\r\n"},
        {"mg a\r\n", "EN\r\n"}, {"ms p 1 MP N0\r\nx\r\n", "HD\r\n"},
        {"mg p t v\r\n", "VA 1 t-1\r\nx\r\n"}, {"ms r 1 MR N60\r\nx\r\n", "NS\r\n"},
        {"ms p 1 MA N60 C99 s\r\nx\r\n", "EX s1\r\n"},
        {"ms n 1 MA Nx\r\nx\r\n", "CLIENT_ERROR bad token in command line format\r\n"});
}

/* E, which newer memcacheds have: the client chooses the id of what is written. */
TEST(meta_ids_of_the_clients_choice)
{
    test_fresh();
    RUN({"ms a 1 E7 c\r\nx\r\n", "HD c7\r\n"}, {"mg a c E8\r\n", "HD c7\r\n"},
        {"ms a 1 C7 E900 c\r\ny\r\n", "HD c900\r\n"}, {"ms a 1 C7 E5 c\r\nz\r\n", "EX c0\r\n"},
        {"ms a 1 C899 I E5 c\r\nz\r\n", "HD c5\r\n"}, {"mg a v c\r\n", "VA 1 c5 X W\r\nz\r\n"},
        {"ms a 1 MA E3 s q\r\n>\r\n", ""}, {"gets a\r\n", "VALUE a 0 2 3\r\nz>\r\nEND\r\n"},
        {"ms a 1 T-1 E9 c\r\nx\r\n", "HD c9\r\n"}, {"mg a N60 E77 c\r\n", "HD c77 W\r\n"},
        {"md a I E99\r\n", "HD\r\n"}, {"mg a c\r\n", "HD c99 X W\r\n"},
        {"ma n N0 E50 c\r\n", "HD c50\r\n"}, {"ma n E51 c v\r\n", "VA 1 c51\r\n1\r\n"},
        {"ma n C50 E52\r\n", "EX\r\n"}, {"md n C51 E52\r\n", "HD\r\n"}, {"mg n\r\n", "EN\r\n"},
        {"ms a 1 E\r\nx\r\n", "CLIENT_ERROR bad token in command line format\r\n"},
        {"md a Ex\r\n", "CLIENT_ERROR invalid or duplicate flag\r\n"});
}

TEST(meta_flush_minds_no_chosen_ids)
{
    test_fresh();
    RUN({"ms low 1 E0\r\nx\r\n", "HD\r\n"}, {"mg low v c\r\n", "VA 1 c0\r\nx\r\n"},
        {"ms high 1 E18446744073709551615 c\r\nx\r\n", "HD c18446744073709551615\r\n"},
        {"flush_all\r\n", "OK\r\n"}, {"mg low\r\n", "EN\r\n"}, {"mg high\r\n", "EN\r\n"},
        {"ms low 1 E0\r\ny\r\n", "HD\r\n"}, {"ms low 1 E1\r\nz\r\n", "HD\r\n"},
        {"mg low v c\r\n", "VA 1 c1\r\nz\r\n"});
}

/* x, which newer memcacheds have, too: the item stays, without its value. */
TEST(meta_delete_removes_the_value_alone)
{
    test_fresh();
    RUN({"md a x k\r\n", "NF ka\r\n"}, {"ms a 3 F7 T60 c\r\nabc\r\n", "HD c1\r\n"},
        {"md a x C9\r\n", "EX\r\n"}, {"md a x q\r\n", ""},
        {"mg a v f t c s h\r\n", "VA 0 f0 t-1 c1 s0 h0\r\n\r\n"}, {"md a I x T30 F5\r\n", "HD\r\n"},
        {"mg a v f t\r\n", "VA 0 f5 t30 X W\r\n\r\n"}, {"md a x E40 T60\r\n", "HD\r\n"},
        {"mg a c t\r\n", "HD c40 t60\r\n"}, {"md a x I T-1\r\n", "HD\r\n"}, {"mg a\r\n", "EN\r\n"},
        {"ms YQ== 1 b\r\nx\r\n", "HD\r\n"}, {"md YQ== b x\r\n", "HD\r\n"},
        {"mg a k v\r\n", "VA 0 kYQ== b\r\n\r\n"});
}

TEST(meta_delete_and_arithmetic)
{
    test_fresh();
    RUN({"md a q k O1\r\n", "NF ka O1\r\n"}, {"ma a\r\n", "NF\r\n"},
        {"ma a N60 J9 v t q\r\n", "VA 1 t60\r\n9\r\n"}, {"ma a v c\r\n", "VA 2 c2\r\n10\r\n"},
        {"ma a MD D4 v T0 t\r\n", "VA 2 t-1\r\n6 \r\n"}, {"ma a M- D9 v\r\n", "VA 2\r\n0 \r\n"},
        {"ma a q\r\n", ""}, {"ma a C1\r\n", "EX\r\n"}, {"md a C1\r\n", "EX\r\n"},
        {"ma a Mx\r\n", "CLIENT_ERROR invalid mode for ma M token\r\n"},
        {"ma a Dx\r\n", "CLIENT_ERROR invalid or duplicate flag\r\n"},
        {"ms a 1\r\nx\r\n", "HD\r\n"},
        {"ma a\r\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"},
        {"md a q\r\n", ""}, {"mg a\r\n", "EN\r\n"});
}

TEST(meta_binary_keys)
{
    test_fresh();
    RUN({"ms AAEC/w== 1 b k c\r\nx\r\n", "HD kAAEC/w== b c1\r\n"},
        {"mg AAEC/w== b k v\r\n", "VA 1 kAAEC/w== b\r\nx\r\n"}, {"ms YWJj 1 b\r\nx\r\n", "HD\r\n"},
        {"mg abc k\r\n", "HD kYWJj b\r\n"}, {"get abc\r\n", "VALUE abc 0 1\r\nx\r\nEND\r\n"},
        {"set abc 0 0 1\r\ny\r\n", "STORED\r\n"}, {"mg YWJj b k\r\n", "HD kabc\r\n"},
        {"md YWJj b k\r\n", "HD kYWJj b\r\n"},
        {"mg YWI b\r\n", "CLIENT_ERROR error decoding key\r\n"},
        {"mg ==== b\r\n", "CLIENT_ERROR error decoding key\r\n"});
}

TEST(meta_errors)
{
    test_fresh();
    RUN({"mg a v v\r\n", "CLIENT_ERROR duplicate flag\r\n"},
        {"mg a \xff\r\n", "CLIENT_ERROR duplicate flag\r\n"},
        {"mg a y\r\n", "CLIENT_ERROR invalid flag\r\n"},
        {"mg a Tx y\r\n", "CLIENT_ERROR invalid flag\r\n"},
        {"mg a Tx Dx\r\n", "CLIENT_ERROR invalid numeric delta value\r\n"},
        {"mg a Tx Fx\r\n", "CLIENT_ERROR bad token in command line format\r\n"},
        {"mg a Fx\r\n", "CLIENT_ERROR bad command line format\r\n"},
        {"mg a M\r\n", "CLIENT_ERROR incorrect length for M token\r\n"},
        {"mg a N0 O0123456789012345678901234567890\r\n",
         "HD O0123456789012345678901234567890 W\r\n"},
        {"mg a T60 O01234567890123456789012345678901 T0\r\n", "CLIENT_ERROR duplicate flag\r\n"},
        {"mg a T60 O01234567890123456789012345678901\r\n",
         "CLIENT_ERROR opaque token too long\r\n"},
        {"mg a t\r\n", "HD t60 Z\r\n"},
        {"mg a c f h k l O1 q s t u v N0 R0 T0 L1 P1 C1 F1\r\n",
         "CLIENT_ERROR options flags are too long\r\n"});
}

TEST(meta_debug_tells_no_class)
{
    test_fresh();
    RUN({"me\r\n", "CLIENT_ERROR bad command line format\r\n"}, {"me a\r\n", "EN\r\n"},
        {"ms YQ== 1 b T60\r\nx\r\n", "HD\r\n"},
        {"me a\r\n", "ME YQ== exp=-60 la=0 cas=1 fetch=no size=32\r\n"},
        {"get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n"}, {"set b 0 0 0\r\n\r\n", "STORED\r\n"},
        {"me YQ== b\r\n", "ME YQ== exp=-60 la=0 cas=1 fetch=yes size=32\r\n"},
        {"me b b\r\n", "CLIENT_ERROR bad command line format\r\n"});
}

TEST(base64_both_ways)
{
    static const char *const good[][2] = {
        {"YQ==", "a"}, {"YWI=", "ab"}, {"YWJj", "abc"}, {"YWJj+/9h", "abc\xfb\xff\x61"}};
    uint8_t bytes[BASE64_BYTES(8)], back[8];

    for (uint32_t i = 0; i < ARRAY_LEN(good); i++) {
        uint32_t len = (uint32_t)strlen(good[i][0]);
        CHECK_EQ(base64_decode((const uint8_t *)good[i][0], len, bytes), strlen(good[i][1]));
        CHECK(memcmp(bytes, good[i][1], strlen(good[i][1])) == 0);
        CHECK_EQ(base64_encode((const uint8_t *)good[i][1], (uint32_t)strlen(good[i][1]), back),
                 len);
        CHECK(memcmp(back, good[i][0], len) == 0);
    }
    CHECK_EQ(base64_decode((const uint8_t *)"YQ=a", 4, bytes), 2);
    CHECK_EQ(base64_decode((const uint8_t *)"Y===", 4, bytes), 0);
    CHECK_EQ(base64_decode((const uint8_t *)"Y\tQ-==", 6, bytes), 1);
    CHECK_EQ(base64_decode((const uint8_t *)"\t---", 4, bytes), 0);
    CHECK_EQ(base64_decode((const uint8_t *)"YWJ", 3, bytes), 0);
    CHECK_EQ(base64_decode((const uint8_t *)"YWI=YQ==", 8, bytes), 2);
}
