/* SPDX-License-Identifier: BSD-2-Clause */
/* reflect.c - what is done with a burst of packets; see reflect.h. */
#include "apps/reflect/reflect.h"

const char *const reflect_drop_names[REFLECT_DROP_REASONS] = {"port", "loop", "large"};

static bool drop_datagram(struct reflect *reflect, enum reflect_drop why)
{
    reflect->drops[why]++;
    return false;
}

/* For a port that isn't ours: makes the packet an ICMP error; false if there is to be none. */
static bool refuse_datagram(struct reflect *reflect, struct netbuf *packet,
                            const struct inet_udp *udp)
{
    drop_datagram(reflect, REFLECT_DROP_PORT);
    return inet_refuse(&reflect->inet, packet, udp) == INET_REPLY;
}

/* The datagram lies apart, and one packet can't take it back. */
static bool take_large(struct reflect *reflect, struct netbuf *packet, const struct inet_udp *udp)
{
    const bool answers = udp->from.local_port != reflect->port
                             ? refuse_datagram(reflect, packet, udp)
                             : drop_datagram(reflect, REFLECT_DROP_LARGE);

    inet_release(&reflect->inet, udp);
    return answers;
}

/* Makes a packet the answer to itself; false if it wants none. */
static bool make_answer(struct reflect *reflect, struct netbuf *packet)
{
    struct inet_udp udp;

    switch (inet_input(&reflect->inet, packet, &udp)) {
    case INET_DROPPED:
        return false;
    case INET_REPLY: /* ARP and ping: inet has made the answer */
        return true;
    case INET_UDP_LARGE: /* put together from fragments */
        return take_large(reflect, packet, &udp);
    case INET_UDP:
        break;
    }
    if (udp.from.local_port != reflect->port)
        return refuse_datagram(reflect, packet, &udp);
    if (udp.from.port == reflect->port)
        return drop_datagram(reflect, REFLECT_DROP_LOOP);
    /* The payload stays where it is, behind the headers. */
    inet_udp_build(&reflect->inet, packet, &udp.from, udp.payload_len, false);
    return true;
}

uint32_t reflect_burst(struct reflect *reflect, struct netbuf **packets, uint32_t n)
{
    uint32_t answers = 0;

    for (uint32_t i = 0; i < n; i++)
        if (make_answer(reflect, packets[i]))
            packets[answers++] = packets[i];
        else
            netbuf_free(packets[i]);
    return answers;
}
