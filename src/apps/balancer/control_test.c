/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of commands and of who may give them. */
#include "apps/balancer/balancer_test.h"
#include "netbuf/hash.h"

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

TEST(control_adds_and_may_repeat_it)
{
    balancer_begin(BALANCER_DIRECT);
    for (uint32_t i = 0; i < 2; i++) {
        CHECK_STR(balancer_command("add 10.0.0.99 weight=5\r\n"),
                  "OK 10.0.0.99 active weight=5 down flows=0\n");
        CHECK_EQ(lb.backends.count, BACKENDS + 1);
    }
    CHECK_STR(balancer_command("weight 10.0.0.99 7"),
              "OK 10.0.0.99 active weight=7 down flows=0\n");
    CHECK_STR(balancer_command("remove 10.0.0.99\n"), "OK 10.0.0.99 removed\n");
    CHECK_EQ(lb.backends.count, BACKENDS);
}

TEST(control_drains_until_flows_are_quiet)
{
    balancer_begin(BALANCER_DIRECT);
    lb.flows.held[1] = 1; /* as if it had a flow */
    CHECK_STR(balancer_command("drain 10.0.0.11"), "OK 10.0.0.11 draining weight=1 up flows=1\n");
    balancer_build_table();
    CHECK_EQ(lb.backends.list[1].slots, 0);
    balancer_tick(&lb, balancer_now_ns);
    CHECK_STR(balancer_command("drain 10.0.0.11"), "OK 10.0.0.11 draining weight=1 up flows=1\n");
    lb.flows.held[1] = 0;
    balancer_tick(&lb, balancer_now_ns);
    CHECK_STR(balancer_command("drain 10.0.0.11"), "OK 10.0.0.11 drained weight=1 up flows=0\n");
    CHECK_STR(balancer_command("add 10.0.0.11"), "OK 10.0.0.11 active weight=1 up flows=0\n");
    CHECK_STR(balancer_command("drain 10.0.0.11"), "OK 10.0.0.11 draining weight=1 up flows=0\n");
    lb.flows.held[1] = 1;
    balancer_tick(&lb, balancer_now_ns + lb.conf.drain_ns); /* that was time enough */
    CHECK_STR(balancer_command("drain 10.0.0.11"), "OK 10.0.0.11 drained weight=1 up flows=1\n");
    lb.flows.held[1] = 0;
}

TEST(control_says_what_is_wrong)
{
    char longest[200];

    balancer_begin(BALANCER_DIRECT);
    CHECK(begins(balancer_command(""), "ERROR commands are"));
    CHECK(begins(balancer_command("bogus"), "ERROR commands are"));
    CHECK(begins(balancer_command("add"), "ERROR commands are"));
    CHECK(begins(balancer_command("add 1 2 3 4"), "ERROR commands are"));
    CHECK(begins(balancer_command("help"), "OK add"));
    memset(longest, ' ', sizeof longest);
    memcpy(longest + 128 - 15, "remove 10.0.0.12",
           sizeof "remove 10.0.0.12"); /* cut it is another's */
    CHECK(begins(balancer_command(longest), "ERROR commands are"));
    CHECK_STR(balancer_command("add 10.0.0"),
              "ERROR '10.0.0' is no IPv4 address that a host can have\n");
    CHECK_STR(balancer_command("add 224.0.0.1"),
              "ERROR '224.0.0.1' is no IPv4 address that a host can have\n");
    CHECK_STR(balancer_command("add 10.0.0.9 wait=1"), "ERROR 'wait=1' isn't weight=N\n");
    CHECK_STR(balancer_command("add 10.0.0.9 weight=0"),
              "ERROR weight '0' is no number from 1 to 1000\n");
    CHECK_STR(balancer_command("drain 10.0.0.9"), "ERROR there is no back end 10.0.0.9\n");
    CHECK_STR(balancer_command("remove x"), "ERROR 'x' is no IPv4 address\n");
    CHECK_STR(balancer_command("list x"), "ERROR 'x' is no number up to 1024\n");
    CHECK_EQ(lb.backends.count, BACKENDS);
}

TEST(control_lists_in_parts)
{
    uint32_t lines = 0, datagrams = 0;
    char command[20] = "list";

    balancer_begin(BALANCER_DIRECT);
    for (uint32_t i = 0; i < 100; i++)
        backends_add(&lb.backends, 0x0a000100 + i, 1);
    for (const char *more = ""; more; datagrams++) {
        const char *text = balancer_command(command);
        more = NULL;
        for (; *text; text = strchr(text, '\n') + 1) {
            lines += begins(text, "10.0.");
            if (begins(text, "MORE ")) {
                const uint32_t len = (uint32_t)(strchr(text + 5, ' ') - text) - 5;
                format(command, sizeof command, "list %.*s", (int)len, text + 5);
                more = text;
            }
        }
    }
    CHECK_EQ(lines, BACKENDS + 100);
    CHECK(datagrams > 3);
}

TEST(control_has_a_limit_of_back_ends)
{
    char command[40];

    balancer_begin(BALANCER_DIRECT);
    for (uint32_t i = BACKENDS; i < BACKENDS_MAX; i++)
        CHECK(backends_add(&lb.backends, 0x0a010000 + i, 1) != BACKENDS_NONE);
    format(command, sizeof command, "add 10.2.0.1");
    CHECK_STR(balancer_command(command), "ERROR there are 1024 back ends, which is the limit\n");
    CHECK(begins(balancer_command("add 10.0.0.11"), "OK"));
}

TEST(control_takes_commands_from_allowed_networks_alone)
{
    struct balancer_host stranger;

    balancer_begin(BALANCER_DIRECT);
    balancer_host_init(&stranger, CLIENT_IP + 1, 0x51);
    CHECK(!balancer_give(balancer_datagram(&stranger, OUR_IP, 5000, CONTROL_PORT, "stats", 5)));
    CHECK_EQ(lb.drops[BALANCER_DROP_DENIED], 1);
    CHECK(begins(balancer_command("stats"), "packets 0\n"));
    lb.conf.allow_count = 0;
    CHECK_EQ(lb.commands, 1);
    lb.conf.control_port = 0;
    struct netbuf *nb =
        balancer_give(balancer_datagram(&stranger, OUR_IP, 5000, CONTROL_PORT, "stats", 5));
    CHECK(nb && nb->data[23] == IPV4_PROTOCOL_ICMP); /* as of any port that is closed */
    netbuf_free(nb);
    CHECK(netbuf_pool_whole(balancer_pool));
}

TEST(control_removes_a_back_end_and_its_flows)
{
    balancer_begin(BALANCER_DIRECT);
    for (uint64_t i = 0; i < 40; i++)
        flows_put(&lb.flows, flows_place(&lb.flows, i * HASH_ODD, i * HASH_ODD),
                  (uint16_t)(i % BACKENDS));
    CHECK_EQ(lb.flows.held[3], 10);
    CHECK_STR(balancer_command("remove 10.0.0.13"), "OK 10.0.0.13 removed\n");
    CHECK_EQ(lb.flows.held[3], 0);
    CHECK_EQ(lb.flows.held[2], 10);
}
