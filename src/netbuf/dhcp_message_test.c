/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of dhcp_message.c: what a server's message must be for it to be looked at. */
#include "netbuf/dhcp_test.h"

static void make_good(void)
{
    header->xid = be32(7);
    make_reply(DHCP_ACK, 3600);
}

TEST(dhcp_read_checks_the_header)
{
    make_good();
    CHECK_EQ(read_reply(), DHCP_TAKEN);
    CHECK(answer.xid == 7 && answer.type == DHCP_ACK && answer.lease_s == 3600);
    for (uint32_t len = 0; len <= sizeof *reply; len++) {
        raw_len = len;
        CHECK_EQ(read_reply(), DHCP_BAD_SIZE);
    }
    raw_len = DHCP_MAX_ANSWER;
    CHECK_EQ(read_reply(), DHCP_TAKEN);
    raw_len = DHCP_MAX_ANSWER + 1;
    CHECK_EQ(read_reply(), DHCP_BAD_SIZE);
    static const uint32_t places[] = {0, 1, 2, 236, 237, 238, 239};
    for (uint32_t i = 0; i < ARRAY_LEN(places); i++) {
        make_good();
        raw[places[i]] ^= 3;
        CHECK_EQ(read_reply(), DHCP_BAD_FORMAT);
    }
    make_good();
    reply->chaddr[5] ^= 1;
    CHECK_EQ(read_reply(), DHCP_BAD_CLIENT);
}

TEST(dhcp_read_checks_what_must_be_there)
{
    for (uint32_t type = 0; type < 256; type++) {
        make_header((uint8_t)type);
        CHECK_EQ(read_reply(),
                 type == 2 || type == 5 || type == 6 ? DHCP_BAD_SERVER : DHCP_BAD_TYPE);
    }
    make_header(DHCP_ACK);
    put_number(DHCP_OPTION_SERVER, SERVER);
    put_number(DHCP_OPTION_MASK, 0xffffff00);
    CHECK_EQ(read_reply(), DHCP_BAD_LEASE);
    put_number(DHCP_OPTION_LEASE, 9);
    CHECK_EQ(read_reply(), DHCP_BAD_LEASE);
    make_header(DHCP_ACK);
    raw_len = sizeof *reply;
    raw[raw_len++] = DHCP_OPTION_END;
    CHECK_EQ(read_reply(), DHCP_BAD_TYPE);
    make_header(DHCP_ACK);
    put_number(DHCP_OPTION_SERVER, 0xe0000001);
    CHECK_EQ(read_reply(), DHCP_BAD_SERVER);
}

TEST(dhcp_read_checks_addresses)
{
    static const struct {
        uint32_t address, mask;
        enum dhcp_reason reason;
    } cases[] = {
        {0x0a00020f, 0xffffff00, DHCP_TAKEN},       {0x0a00020f, 0xff00ff00, DHCP_BAD_ADDRESS},
        {0x0a000200, 0xffffff00, DHCP_BAD_ADDRESS}, {0x0a0002ff, 0xffffff00, DHCP_BAD_ADDRESS},
        {0, 0xffffff00, DHCP_BAD_ADDRESS},          {0x7f000001, 0xff000000, DHCP_BAD_ADDRESS},
        {0xe0000001, 0xf0000000, DHCP_BAD_ADDRESS}, {0xffffffff, 0xffffff00, DHCP_BAD_ADDRESS},
        {0x0a00020f, 0xffffffff, DHCP_TAKEN},       {0x0a00020f, 0x000000ff, DHCP_BAD_ADDRESS},
    };

    for (uint32_t i = 0; i < ARRAY_LEN(cases); i++) {
        make_header(DHCP_OFFER);
        reply->yiaddr = be32(cases[i].address);
        put_number(DHCP_OPTION_SERVER, SERVER);
        put_number(DHCP_OPTION_LEASE, 3600);
        put_number(DHCP_OPTION_MASK, cases[i].mask);
        CHECK_EQ(read_reply(), cases[i].reason);
    }
    static const uint32_t classes[][2] = {{0x0a00020f, 8}, {0xac10020f, 16}, {0xc0a8020f, 24}};
    for (uint32_t i = 0; i < ARRAY_LEN(classes); i++) {
        make_header(DHCP_OFFER);
        reply->yiaddr = be32(classes[i][0]);
        put_number(DHCP_OPTION_SERVER, SERVER);
        put_number(DHCP_OPTION_LEASE, 3600);
        CHECK_EQ(read_reply(), DHCP_TAKEN);
        CHECK_EQ(answer.address.len, classes[i][1]);
    }
    static const uint32_t routers[] = {OURS, 0x0a0003ff, 0x0a0002ff, 0x0a000200, 0};
    for (uint32_t i = 0; i < ARRAY_LEN(routers); i++) {
        make_header(DHCP_OFFER);
        put_number(DHCP_OPTION_SERVER, SERVER);
        put_number(DHCP_OPTION_LEASE, 3600);
        put_number(DHCP_OPTION_MASK, 0xffffff00);
        put_number(DHCP_OPTION_ROUTER, routers[i]);
        CHECK_EQ(read_reply(), DHCP_TAKEN);
        CHECK_EQ(answer.router, 0);
    }
}

TEST(dhcp_read_checks_lengths_of_options)
{
    static const uint8_t codes[] = {1, 3, 51, 53, 54, 58, 59};

    for (uint32_t i = 0; i < ARRAY_LEN(codes); i++)
        for (uint8_t len = 0; len < 14; len++) {
            make_header(DHCP_ACK);
            raw_len = codes[i] == 53 ? (uint32_t)sizeof *reply : raw_len;
            put(codes[i], "\x0a\x00\x02\x01\x0a\x00\x02\x01\x0a\x00\x02\x01\x01\x01", len);
            const bool right = len == 0 || (codes[i] == 53 ? len == 1 : len == 4) ||
                               (codes[i] == 3 && len % 4 == 0);
            CHECK_EQ(read_reply() == DHCP_BAD_OPTION, !right);
        }
    make_good();
    raw[raw_len++] = DHCP_OPTION_T1; /* without its length, then without its bytes */
    CHECK_EQ(read_reply(), DHCP_BAD_OPTION);
    raw[raw_len++] = 4;
    for (uint32_t i = 0; i < 4; i++, raw_len++)
        CHECK_EQ(read_reply(), DHCP_BAD_OPTION);
    CHECK_EQ(read_reply(), DHCP_TAKEN);
    make_good();
    raw[raw_len++] = DHCP_OPTION_END; /* what follows is nothing */
    raw[raw_len++] = DHCP_OPTION_T1;
    CHECK_EQ(read_reply(), DHCP_TAKEN);
}

TEST(dhcp_read_puts_split_options_together)
{
    make_header(DHCP_ACK);
    put_number(DHCP_OPTION_SERVER, SERVER);
    put(DHCP_OPTION_LEASE, "\0\0", 2);
    put_number(DHCP_OPTION_MASK, 0xffffff00);
    raw[raw_len++] = DHCP_OPTION_PAD;
    put(DHCP_OPTION_LEASE, "\x0e\x10", 2);
    CHECK_EQ(read_reply(), DHCP_TAKEN);
    CHECK_EQ(answer.lease_s, 3600);
    put(DHCP_OPTION_LEASE, "", 0);
    CHECK_EQ(read_reply(), DHCP_TAKEN);
    put_number(DHCP_OPTION_LEASE, 3600);
    CHECK_EQ(read_reply(), DHCP_BAD_OPTION);
}

/* Options in all three fields; a lease's time is split over them. */
TEST(dhcp_read_takes_overloaded_fields)
{
    static const uint8_t in_file[] = {51, 1, 0x0e, 54, 4, 10, 0, 2, 2, 255};
    static const uint8_t in_sname[] = {51, 1, 0x10, 1, 4, 255, 255, 255, 0, 52, 1, 9, 255};

    for (uint8_t overload = 0; overload < 8; overload++) {
        make_header(DHCP_ACK);
        put(DHCP_OPTION_LEASE, "\0\0", 2);
        put(DHCP_OPTION_OVERLOAD, &overload, 1);
        memcpy(reply->file, in_file, sizeof in_file);
        memcpy(reply->sname, in_sname, sizeof in_sname);
        const enum dhcp_reason reason = read_reply();
        CHECK_EQ(reason, DHCP_BAD_OPTION); /* the inner 52 makes it two bytes long */
        reply->sname[9] = DHCP_OPTION_END;
        CHECK_EQ(read_reply(), overload == 3 ? DHCP_TAKEN : DHCP_BAD_OPTION);
        if (overload != 3)
            continue;
        CHECK(answer.server == SERVER && answer.lease_s == 3600 && answer.address.len == 24);
        memset(reply->file + 10, 0, 118);
        reply->file[9] = DHCP_OPTION_PAD;
        reply->file[126] = DHCP_OPTION_T1;
        reply->file[127] = 4; /* would run into what follows */
        CHECK_EQ(read_reply(), DHCP_BAD_OPTION);
    }
}
