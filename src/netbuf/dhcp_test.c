/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of dhcp.h: a client and a server that says what a test wants, without packets. */
#include "netbuf/dhcp_test.h"

static const uint8_t server_mac[] = {0x52, 0x55, 0x0a, 0x00, 0x02, 0x02};

static struct dhcp dhcp;
static uint64_t now_ns;
static struct dhcp_message message = {.payload = sent};

/* --- the client's -------------------------------------------------------------------------------
 */

static enum dhcp_reason from_server(void)
{
    const enum dhcp_reason reason = read_reply();

    eth_mac_copy(answer.mac, server_mac);
    return reason == DHCP_TAKEN ? dhcp_input(&dhcp, &answer) : reason;
}

/* An option that was sent; 0 if it wasn't. */
static const uint8_t *option(uint8_t code)
{
    uint32_t at = sizeof *header;

    while (at < sizeof sent && sent[at] != DHCP_OPTION_END) {
        if (sent[at] == code)
            return sent + at + 2;
        at += 2 + (uint32_t)sent[at + 1];
    }
    CHECK(at < sizeof sent);
    return NULL;
}

static uint32_t option_number(uint8_t code)
{
    const uint8_t *bytes = option(code);

    return bytes ? load_be32(bytes) : 0;
}

/* What is sent now: its type, or 0. */
static uint8_t next(void)
{
    if (!dhcp_next(&dhcp, now_ns, &message))
        return 0;
    CHECK(header->op == DHCP_OP_REQUEST && header->htype == 1 && header->hlen == 6);
    CHECK(memcmp(header->chaddr, mac, 6) == 0 && be32(header->magic) == DHCP_MAGIC);
    CHECK(header->giaddr == 0 && header->yiaddr == 0 && header->hops == 0);
    return *option(DHCP_OPTION_TYPE);
}

/* Nothing more is due now; the time goes on to when something is, in seconds. */
static double pass(void)
{
    const uint64_t before_ns = now_ns;

    CHECK_EQ(next(), 0);
    CHECK(dhcp.due_ns > now_ns);
    now_ns = dhcp.due_ns;
    return (double)(now_ns - before_ns) / S;
}

/* The same, over the moment at which the silence is told. */
static double pass_whole(void)
{
    double paused = 0;

    do
        paused += pass();
    while (now_ns < dhcp.step_ns);
    return paused;
}

static void begin(void)
{
    now_ns = 5 * S;
    dhcp_init(&dhcp, mac, NULL, 4711);
}

static void ask(void)
{
    CHECK_EQ(next(), DHCP_DISCOVER);
    make_reply(DHCP_OFFER, 3600);
    CHECK_EQ(from_server(), DHCP_TAKEN);
    CHECK_EQ(next(), DHCP_REQUEST);
}

static void bind(uint32_t lease_s)
{
    begin();
    ask();
    make_reply(DHCP_ACK, lease_s);
    CHECK_EQ(from_server(), DHCP_TAKEN);
    CHECK_EQ(next(), 0);
    CHECK_EQ(dhcp.state, DHCP_PROBING);
    CHECK(!dhcp_has_address(&dhcp));
    dhcp_probed(&dhcp, false);
    CHECK_EQ(next(), 0);
    CHECK(dhcp_has_address(&dhcp) && dhcp.state == DHCP_BOUND);
}

TEST(dhcp_from_discover_to_a_lease)
{
    begin();
    CHECK_EQ(next(), DHCP_DISCOVER);
    CHECK(message.source == 0 && message.destination == IPV4_BROADCAST);
    CHECK(header->flags == 0 && header->ciaddr == 0 && !option(DHCP_OPTION_SERVER));
    CHECK(option(DHCP_OPTION_WANTED) && !option(DHCP_OPTION_HOST_NAME));
    const uint32_t xid = header->xid;
    make_reply(DHCP_OFFER, 3600);
    CHECK_EQ(from_server(), DHCP_TAKEN);
    now_ns += 2 * S;
    CHECK_EQ(next(), DHCP_REQUEST);
    CHECK(message.source == 0 && message.destination == IPV4_BROADCAST);
    CHECK(header->xid == xid && header->ciaddr == 0);
    CHECK_EQ(option_number(DHCP_OPTION_REQUESTED), OURS);
    CHECK_EQ(option_number(DHCP_OPTION_SERVER), SERVER);
    make_reply(DHCP_ACK, 3600);
    CHECK_EQ(from_server(), DHCP_TAKEN);
    dhcp_probed(&dhcp, false);
    const uint64_t asked_ns = now_ns;
    CHECK_EQ(next(), 0);
    CHECK_EQ(dhcp.state, DHCP_BOUND);
    CHECK(dhcp.lease.address.address == OURS && dhcp.lease.address.len == 24);
    CHECK(dhcp.lease.router == ROUTER && dhcp.lease.server == SERVER);
    CHECK(is_t1((double)(dhcp.due_ns - asked_ns) / S, 1800));
    CHECK_EQ(dhcp.news, DHCP_NO_NEWS);
}

TEST(dhcp_tells_its_name)
{
    static const char name[] = "a23456789-123456789-123456789-123456789-123456789-123456789-123";

    begin();
    dhcp.name = name;
    CHECK_EQ(next(), DHCP_DISCOVER);
    CHECK(memcmp(option(DHCP_OPTION_HOST_NAME), name, 63) == 0);
    CHECK_EQ(option(DHCP_OPTION_HOST_NAME)[-1], 63);
    make_reply(DHCP_OFFER, 3600);
    CHECK_EQ(from_server(), DHCP_TAKEN);
    CHECK_EQ(next(), DHCP_REQUEST); /* with the longest options of all */
    CHECK(memcmp(option(DHCP_OPTION_HOST_NAME), name, 63) == 0);
}

TEST(dhcp_asks_again_after_pauses_that_grow)
{
    static const double pauses[] = {4, 8, 16, 32, 64, 64};
    uint32_t xid = 0;

    begin();
    for (uint32_t i = 0; i < ARRAY_LEN(pauses); i++) {
        CHECK_EQ(next(), DHCP_DISCOVER);
        CHECK(header->xid != xid);
        xid = header->xid;
        CHECK_EQ(header->flags, be16(i % 2 ? DHCP_FLAG_BROADCAST : 0));
        CHECK_EQ(be16(header->secs), (now_ns - 5 * S) / S);
        const double paused = pass_whole();
        CHECK_EQ(dhcp.news, now_ns > 15 * S ? DHCP_SILENCE : DHCP_NO_NEWS);
        CHECK(paused > pauses[i] - 1 && paused < pauses[i] + 1);
    }
    CHECK_EQ(dhcp.news, DHCP_SILENCE);
    dhcp.news = DHCP_NO_NEWS; /* told once */
    CHECK_EQ(next(), DHCP_DISCOVER);
    pass();
    CHECK_EQ(dhcp.news, DHCP_NO_NEWS);
}

TEST(dhcp_gives_a_server_up_that_does_not_acknowledge)
{
    begin();
    ask();
    for (uint32_t i = 1; i < 4; i++) {
        pass_whole();
        CHECK_EQ(next(), DHCP_REQUEST);
    }
    pass_whole();
    CHECK_EQ(next(), DHCP_DISCOVER);
    CHECK_EQ(dhcp.news, DHCP_NO_LEASE);
    pass();
    CHECK_EQ(next(), DHCP_DISCOVER);
}

TEST(dhcp_renews_at_t1)
{
    bind(3600);
    CHECK(is_t1(pass(), 1800));
    CHECK_EQ(next(), DHCP_REQUEST);
    CHECK(message.source == OURS && message.destination == SERVER);
    CHECK(memcmp(message.mac, server_mac, 6) == 0);
    CHECK(header->ciaddr == be32(OURS) && !option(DHCP_OPTION_SERVER));
    CHECK(!option(DHCP_OPTION_REQUESTED));
    CHECK(dhcp_has_address(&dhcp));
    make_reply(DHCP_ACK, 7200);
    CHECK_EQ(from_server(), DHCP_TAKEN);
    CHECK(is_t1(pass(), 3600) && now_ns % S != 0); /* some part of it less */
}

TEST(dhcp_renews_rebinds_and_ends)
{
    uint32_t requests = 0;

    bind(3600);
    CHECK(is_t1(pass(), 1800));
    for (; next() == DHCP_REQUEST && message.destination == SERVER; requests++)
        CHECK(pass() >= 60 || now_ns == 5 * S + 3150 * S);
    CHECK(requests > 3);
    CHECK_EQ(now_ns, 5 * S + 3150 * S); /* T2 */
    CHECK(message.destination == IPV4_BROADCAST && message.source == OURS);
    for (requests = 1; now_ns < 5 * S + 3600 * S; requests++) {
        CHECK(dhcp_has_address(&dhcp));
        CHECK(pass() >= 60 || now_ns == 5 * S + 3600 * S);
        CHECK_EQ(next(), now_ns < 5 * S + 3600 * S ? DHCP_REQUEST : DHCP_DISCOVER);
    }
    CHECK(requests > 2);
    CHECK(!dhcp_has_address(&dhcp));
    CHECK_EQ(dhcp.news, DHCP_EXPIRED);
    CHECK_EQ(header->ciaddr, 0);
}

TEST(dhcp_takes_any_server_when_it_rebinds)
{
    bind(3600);
    now_ns += 3200 * S;
    CHECK_EQ(next(), DHCP_REQUEST);
    CHECK_EQ(dhcp.state, DHCP_REBINDING);
    make_header(DHCP_ACK);
    put_number(DHCP_OPTION_SERVER, OTHER_SERVER);
    put_number(DHCP_OPTION_LEASE, 1000);
    CHECK_EQ(from_server(), DHCP_TAKEN);
    CHECK(is_t1(pass(), 500));
    CHECK_EQ(dhcp.lease.server, OTHER_SERVER);
}

TEST(dhcp_an_acknowledgement_is_of_its_request)
{
    bind(3600);
    pass();
    CHECK_EQ(next(), DHCP_REQUEST);
    make_reply(DHCP_ACK, 3600);
    pass();
    CHECK_EQ(next(), DHCP_REQUEST);
    CHECK_EQ(from_server(), DHCP_UNASKED); /* the first one's: nobody knows when its lease began */
    make_reply(DHCP_ACK, 3600);
    CHECK_EQ(from_server(), DHCP_TAKEN);
    CHECK(is_t1(pass(), 1800));
}

TEST(dhcp_a_short_lease_is_asked_for_often_enough)
{
    uint32_t requests = 0;

    bind(20);
    CHECK(is_t1(pass(), 10));
    for (; next() == DHCP_REQUEST; requests++)
        CHECK(pass() >= 0.5);
    CHECK(requests >= 5 && requests < 10);
    CHECK_EQ(now_ns, 25 * S);
}

TEST(dhcp_takes_a_servers_times_if_they_can_be)
{
    static const struct {
        uint32_t lease_s, t1_s, t2_s, renew_s, rebind_s;
    } times[] = {
        {1000, 100, 900, 100, 900}, {1000, 0, 0, 500, 875},      {1000, 900, 100, 500, 875},
        {1000, 1, 900, 500, 875},   {1000, 100, 1000, 500, 875}, {1000, 500, 500, 500, 875},
    };

    for (uint32_t i = 0; i < ARRAY_LEN(times); i++) {
        begin();
        ask();
        make_reply(DHCP_ACK, times[i].lease_s);
        put_number(DHCP_OPTION_T1, times[i].t1_s);
        put_number(DHCP_OPTION_T2, times[i].t2_s);
        CHECK_EQ(from_server(), DHCP_TAKEN);
        CHECK(is_t1((double)(dhcp.renew_ns - 5 * S) / S, times[i].renew_s));
        CHECK_EQ(dhcp.rebind_ns, 5 * S + times[i].rebind_s * S);
        CHECK_EQ(dhcp.end_ns, 5 * S + 1000 * S);
    }
}

TEST(dhcp_a_lease_may_last_for_ever)
{
    bind(DHCP_FOREVER);
    CHECK(dhcp.due_ns == UINT64_MAX);
    now_ns = UINT64_MAX - 1;
    CHECK_EQ(next(), 0);
    CHECK(dhcp_has_address(&dhcp));
}

TEST(dhcp_a_refusal_begins_anew)
{
    begin();
    ask();
    make_reply(DHCP_NAK, 0);
    CHECK_EQ(from_server(), DHCP_TAKEN);
    CHECK_EQ(dhcp.news, DHCP_REFUSED);
    CHECK_EQ(next(), DHCP_DISCOVER);
    for (uint32_t state = DHCP_RENEWING; state <= DHCP_REBINDING; state++) {
        bind(3600);
        now_ns += (state == DHCP_RENEWING ? 1800 : 3200) * S;
        CHECK_EQ(next(), DHCP_REQUEST);
        CHECK_EQ(dhcp.state, state);
        make_reply(DHCP_NAK, 0);
        CHECK_EQ(from_server(), DHCP_TAKEN);
        CHECK(!dhcp_has_address(&dhcp));
        CHECK_EQ(next(), DHCP_DISCOVER);
    }
}

TEST(dhcp_refusals_cannot_make_it_ask_fast)
{
    uint32_t discovers = 0;

    begin();
    for (const uint64_t end_ns = now_ns + 600 * S; now_ns < end_ns; now_ns += S / 100) {
        const uint8_t type = next();
        discovers += type == DHCP_DISCOVER;
        if (type == 0)
            continue;
        make_reply(type == DHCP_DISCOVER ? DHCP_OFFER : DHCP_NAK, 3600);
        CHECK_EQ(from_server(), DHCP_TAKEN);
    }
    CHECK(discovers > 5 && discovers < 20);
}

TEST(dhcp_declines_what_another_host_has)
{
    begin();
    ask();
    make_reply(DHCP_ACK, 3600);
    CHECK_EQ(from_server(), DHCP_TAKEN);
    dhcp_probed(&dhcp, true);
    CHECK_EQ(next(), DHCP_DECLINE);
    CHECK(message.source == 0 && message.destination == IPV4_BROADCAST && header->ciaddr == 0);
    CHECK_EQ(option_number(DHCP_OPTION_REQUESTED), OURS);
    CHECK_EQ(option_number(DHCP_OPTION_SERVER), SERVER);
    CHECK_EQ(dhcp.news, DHCP_CONFLICT);
    CHECK(pass() >= 10);
    CHECK_EQ(next(), DHCP_DISCOVER);
}

TEST(dhcp_asks_whether_the_address_is_still_right_where_the_link_came_again)
{
    bind(3600);
    const uint64_t renew_ns = dhcp.due_ns;
    now_ns += 100 * S;
    dhcp_arrived(&dhcp);
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_EQ(next(), DHCP_REQUEST);
        CHECK(message.destination == IPV4_BROADCAST && header->ciaddr == be32(OURS));
        CHECK(dhcp_has_address(&dhcp));
        CHECK(pass() < 34);
    }
    CHECK_EQ(next(), 0); /* nobody says no */
    CHECK(dhcp.state == DHCP_BOUND && dhcp.due_ns == renew_ns);
    dhcp_arrived(&dhcp);
    CHECK_EQ(next(), DHCP_REQUEST);
    make_reply(DHCP_NAK, 0);
    CHECK_EQ(from_server(), DHCP_TAKEN);
    CHECK_EQ(next(), DHCP_DISCOVER);
    pass();
    dhcp_arrived(&dhcp); /* no need to wait for the pause's end */
    CHECK_EQ(next(), DHCP_DISCOVER);
    CHECK(pass() < 5);
}

/* --- servers that lie ---------------------------------------------------------------------------
 */

TEST(dhcp_takes_no_answer_that_it_did_not_ask_for)
{
    begin();
    CHECK_EQ(next(), DHCP_DISCOVER);
    for (uint8_t type = DHCP_ACK; type <= DHCP_NAK; type++) {
        make_reply(type, 3600);
        CHECK_EQ(from_server(), DHCP_UNASKED);
    }
    make_reply(DHCP_OFFER, 3600);
    reply->xid ^= 1;
    CHECK_EQ(from_server(), DHCP_UNASKED);
    reply->xid ^= 1;
    CHECK_EQ(from_server(), DHCP_TAKEN);
    make_reply(DHCP_ACK, 3600);
    CHECK_EQ(from_server(), DHCP_UNASKED); /* REQUEST isn't sent yet */
    CHECK_EQ(next(), DHCP_REQUEST);
    make_reply(DHCP_OFFER, 3600);
    CHECK_EQ(from_server(), DHCP_UNASKED);
    make_reply(DHCP_ACK, 3600);
    CHECK_EQ(from_server(), DHCP_TAKEN);
    CHECK_EQ(from_server(), DHCP_UNASKED); /* a second time */
    dhcp_probed(&dhcp, false);
    CHECK_EQ(next(), 0);
    make_reply(DHCP_NAK, 0);
    CHECK_EQ(from_server(), DHCP_UNASKED);
    CHECK(dhcp_has_address(&dhcp));
}

TEST(dhcp_takes_no_other_servers_answer_nor_another_address)
{
    for (uint8_t type = DHCP_ACK; type <= DHCP_NAK; type++) {
        begin();
        ask();
        make_header(type);
        put_number(DHCP_OPTION_SERVER, OTHER_SERVER);
        put_number(DHCP_OPTION_LEASE, 3600);
        CHECK_EQ(from_server(), DHCP_BAD_SERVER);
        make_reply(type, 3600);
        reply->yiaddr = be32(OURS + 1);
        CHECK_EQ(from_server(), type == DHCP_ACK ? DHCP_BAD_ADDRESS : DHCP_TAKEN);
    }
    bind(3600);
    now_ns += 3200 * S;
    CHECK_EQ(next(), DHCP_REQUEST);
    make_reply(DHCP_ACK, 3600);
    reply->yiaddr = be32(OURS + 1);
    CHECK_EQ(from_server(), DHCP_BAD_ADDRESS);
    CHECK_EQ(dhcp.lease.address.address, OURS);
}

TEST(dhcp_survives_anything)
{
    uint64_t random = 88172645463325252;
    uint32_t reasons[DHCP_REASONS] = {0};

    begin();
    CHECK_EQ(next(), DHCP_DISCOVER);
    for (uint32_t i = 0; i < 200000; i++) {
        make_reply((uint8_t)(i % 3 == 0 ? DHCP_OFFER : i % 3 == 1 ? DHCP_ACK : DHCP_NAK), 3600);
        for (uint32_t n = 0; n < 3; n++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            raw[(random >> 33) % (n ? raw_len : 8)] ^= (uint8_t)(random >> 8 & (n ? 255 : 0));
            if (n == 2 && random >> 60 == 0)
                raw_len = (uint32_t)(random >> 20) % sizeof raw;
        }
        reasons[from_server()]++;
        now_ns += random >> 40;
        next();
        dhcp_probed(&dhcp, random & 1 << 30);
        if (dhcp_has_address(&dhcp))
            CHECK(ipv4_prefix_is_host(dhcp.lease.address));
    }
    for (uint32_t i = 0; i < DHCP_REASONS; i++)
        CHECK((reasons[i] > 0) == (i != DHCP_BUSY));
}
