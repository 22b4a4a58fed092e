/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of who is told in which groups we are. */
#include "netbuf/inet6_test.h"

/* Reports that are sent from `from` up to `to`, which move the time. */
static uint32_t count_reports(uint64_t from, uint64_t to)
{
    uint32_t reports = 0;

    for (uint64_t now = from; now <= to; now += SECOND_NS / 100)
        while (next6(now))
            reports += is_report() && check_report(&ours, &ours);
    return reports;
}

TEST(inet_mld_who_asks_is_told_of_our_groups_in_time)
{
    static const uint16_t delays_ms[] = {0, 1, 1000, 10000, 0xffff}; /* the last in version 2 */

    for (uint32_t i = 0; i < ARRAY_LEN(delays_ms); i++) {
        init6();
        make_query(delays_ms[i]);
        CHECK_EQ(input6(0, 64), INET_DROPPED);
        CHECK_EQ(inet.drops[INET_DROP_MLD_QUERY], 1);
        CHECK(inet.has_packets);
        const uint64_t now = 20 * SECOND_NS, delay = MIN(delays_ms[i], 10000u) * (SECOND_NS / 1000);
        CHECK_EQ(count_reports(now, now + delay + SECOND_NS / 100), 1);
        CHECK_EQ(count_reports(now + delay, now + 100 * SECOND_NS), 0);
    }
}

TEST(inet_mld_all_addresses_groups_are_reported)
{
    const struct ipv6_address second = {.bytes = {0xfd, [15] = 2}};

    init6();
    inet6.own[1] = inet6.own[0];
    inet6.own[1].prefix.address = second;
    inet6.solicit_pause_ns = 0; /* no router is asked meanwhile */
    make_query(0);
    input6(0, 64);
    CHECK(next6(20 * SECOND_NS) && check_report(&ours, &ours));
    CHECK(next6(20 * SECOND_NS) && check_report(&ours, &second));
    CHECK(!next6(20 * SECOND_NS));
}

TEST(inet_mld_a_flood_of_questions_brings_two_reports_a_second_at_most)
{
    uint32_t reports = 0;

    init6();
    for (uint64_t now = 20 * SECOND_NS; now < 30 * SECOND_NS; now += SECOND_NS / 100) {
        make_query(0);
        input6(0, 64);
        reports += count_reports(now, now);
    }
    CHECK(reports >= 19 && reports <= 20);
}

TEST(inet_mld_questions_that_can_not_be)
{
    CHECK_BROKEN6(make_query(1), (void)0, "mld_query");
    CHECK_BROKEN6(make_query(1), raw_len += 4, "mld_query"); /* one of version 2 */
    CHECK_BROKEN6(make_query(1), raw_len--, "mld_format");
    CHECK_BROKEN6(make_query(1), ip6->hop_limit = 255, "mld_format");
    CHECK_BROKEN6(make_query(1), ip6->source_address.bytes[0] = 0x20, "mld_format");
    CHECK_BROKEN6(make_query(1), ip6->source_address = ipv6_nobody, "mld_format");
    CHECK_BROKEN6(make_query(1), ip6->source_address = ours, "mld_format");
}

TEST(inet_mld_another_core_hears_a_question_for_the_first)
{
    static struct inet second;

    init6();
    inet_init(&second, our_mac, INET_NO_ADDRESS);
    inet6_join(&inet6, &second);
    make_query(0);
    input6(0, 64);
    inet6.query_ms = 0;
    packet.data = buffer + sizeof buffer - 64 - raw_len;
    CHECK_EQ(inet_input(&second, &packet, &got), INET_DROPPED);
    CHECK_EQ(second.drops[INET_DROP_MLD_QUERY], 1);
    CHECK_EQ(count_reports(20 * SECOND_NS, 20 * SECOND_NS), 1);
}
