/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_mmio.c - virtio over memory-mapped registers (virtio 1.1, section 4.2), version 2.
 *
 *   0x000 magic, version, device id, features, queue registers, status    32-bit words
 *   0x050 QueueNotify: the number of the queue that is kicked
 *   0x100 the device's own configuration, each field by its own width
 *
 *   0x060 InterruptStatus: why the device's one line is high
 *   0x064 InterruptACK: which reasons were seen; without any the line falls
 *
 * All queues share one interrupt line, which the device holds high until all its reasons are
 * acknowledged. They aren't when the interrupt has come, but when a queue is armed, before that
 * queue's ring is looked at. So the line is low while somebody waits, and the next interrupt
 * is its rising (boot_irq_line). The line wakes core 0; on another core the queue is polled.
 */
#include "netdev/virtio/virtio_mmio.h"
#include "boot/boot.h"
#include "netdev/virtio/virtio_net.h"

#include <linux/virtio_ids.h>

enum {
    MAGIC = 0x74726976, /* "virt" */
    PLACES_MAX = 32,
    /* QEMU's microvm: 24 slots, or 8 with acpi=off or ioapic2=off; an empty one has device id 0. */
    MICROVM_SLOTS = 24,
    MICROVM_SLOT_LEN = 512,
    MICROVM_LINES = 24,        /* of a slot: this plus its number, on the second controller */
    MICROVM_LINES_SINGLE = 16, /* ... where there is only one, which needs ioapic2=off */
};

static const uint64_t microvm_base = 0xfeb00000;

/* --- the transport -------------------------------------------------------------------------- */

static uint32_t read_reg(struct virtio_transport *t, uint32_t offset)
{
    return *(volatile uint32_t *)(((struct virtio_mmio *)t)->regs + offset);
}

static void write_reg(struct virtio_transport *t, uint32_t offset, uint32_t value)
{
    *(volatile uint32_t *)(((struct virtio_mmio *)t)->regs + offset) = value;
}

static uint8_t status(struct virtio_transport *t)
{
    return (uint8_t)read_reg(t, VIRTIO_MMIO_STATUS);
}

static void set_status(struct virtio_transport *t, uint8_t value)
{
    write_reg(t, VIRTIO_MMIO_STATUS, value);
}

static uint64_t features(struct virtio_transport *t)
{
    write_reg(t, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
    uint64_t low = read_reg(t, VIRTIO_MMIO_DEVICE_FEATURES);
    write_reg(t, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    return (uint64_t)read_reg(t, VIRTIO_MMIO_DEVICE_FEATURES) << 32 | low;
}

static void set_features(struct virtio_transport *t, uint64_t value)
{
    write_reg(t, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    write_reg(t, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)value);
    write_reg(t, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    write_reg(t, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(value >> 32));
}

static uint32_t config(struct virtio_transport *t, uint32_t offset, uint32_t width_bytes)
{
    const struct virtio_mmio *dev = (const struct virtio_mmio *)t;
    const volatile uint8_t *at = dev->regs + VIRTIO_MMIO_CONFIG + offset;

    if (VIRTIO_MMIO_CONFIG + offset + width_bytes > dev->len)
        return 0;
    if (width_bytes == 1)
        return *at;
    return width_bytes == 2 ? *(const volatile uint16_t *)at : *(const volatile uint32_t *)at;
}

static uint32_t config_generation(struct virtio_transport *t)
{
    return read_reg(t, VIRTIO_MMIO_CONFIG_GENERATION);
}

static uint32_t queue_size_max(struct virtio_transport *t, uint16_t q)
{
    write_reg(t, VIRTIO_MMIO_QUEUE_SEL, q);
    return read_reg(t, VIRTIO_MMIO_QUEUE_NUM_MAX);
}

static void write_address(struct virtio_transport *t, uint32_t low_offset, uint64_t address)
{
    write_reg(t, low_offset, (uint32_t)address);
    write_reg(t, low_offset + 4, (uint32_t)(address >> 32));
}

static bool queue_enable(struct virtio_transport *t, uint16_t q,
                         const struct virtio_queue_place *place)
{
    if (queue_size_max(t, q) < place->size || read_reg(t, VIRTIO_MMIO_QUEUE_READY) != 0)
        return false;
    write_reg(t, VIRTIO_MMIO_QUEUE_NUM, place->size);
    write_address(t, VIRTIO_MMIO_QUEUE_DESC_LOW, place->desc);
    write_address(t, VIRTIO_MMIO_QUEUE_AVAIL_LOW, place->avail);
    write_address(t, VIRTIO_MMIO_QUEUE_USED_LOW, place->used);
    write_reg(t, VIRTIO_MMIO_QUEUE_READY, 1);
    return read_reg(t, VIRTIO_MMIO_QUEUE_READY) == 1;
}

static void kick(struct virtio_transport *t, uint16_t q)
{
    write_reg(t, VIRTIO_MMIO_QUEUE_NOTIFY, q);
}

/* Reads why the line is high and acknowledges that, until there is no reason: one that came between
 * a read and its write would keep the line up, and there would be no rise any more. A device that
 * always has one is left to it. */
static void lower_line(struct virtio_transport *t)
{
    enum { ROUNDS_MAX = 4 };
    uint32_t reasons;

    for (uint32_t i = 0; i < ROUNDS_MAX && (reasons = read_reg(t, VIRTIO_MMIO_INTERRUPT_STATUS));
         i++)
        write_reg(t, VIRTIO_MMIO_INTERRUPT_ACK, reasons);
}

static bool arm(struct virtio_transport *t, uint16_t q, bool on)
{
    struct virtio_mmio_line *line = &((struct virtio_mmio *)t)->line;

    (void)q;
    if (!on || boot_core() != 0)
        return !on;
    if (line->use)
        line->wakes = line->use(line->numbers[0]) || line->use(line->numbers[1]);
    line->use = NULL;
    if (line->wakes)
        lower_line(t);
    return line->wakes;
}

static const struct virtio_transport_ops ops = {
    .status = status,
    .set_status = set_status,
    .features = features,
    .set_features = set_features,
    .config = config,
    .config_generation = config_generation,
    .queue_size_max = queue_size_max,
    .queue_enable = queue_enable,
    .kick = kick,
    .arm = arm,
};

/* --- finding devices ------------------------------------------------------------------------ */

enum virtio_mmio_found virtio_mmio_identify(const volatile uint8_t *regs)
{
    const volatile uint32_t *words = (const volatile uint32_t *)regs;

    if (words[VIRTIO_MMIO_MAGIC_VALUE / 4] != MAGIC)
        return VIRTIO_MMIO_NOTHING;
    uint32_t version = words[VIRTIO_MMIO_VERSION / 4], id = words[VIRTIO_MMIO_DEVICE_ID / 4];
    if (id == 0)
        return VIRTIO_MMIO_EMPTY;
    if (id != VIRTIO_ID_NET)
        return VIRTIO_MMIO_OTHER;
    if (version == 1)
        return VIRTIO_MMIO_LEGACY;
    return version == 2 ? VIRTIO_MMIO_NET : VIRTIO_MMIO_OTHER;
}

void virtio_mmio_attach(struct virtio_mmio *dev, volatile uint8_t *regs, uint32_t len,
                        uint64_t phys)
{
    *dev = (struct virtio_mmio){
        .base = {.ops = &ops, .driver = "virtio-net over MMIO"},
        .regs = regs,
        .len = len,
    };
    format(dev->base.where, sizeof dev->base.where, "mmio 0x%lx", phys);
}

/* Looks at one place. Returns what is there; *net is the device, if it is one for us. */
static enum virtio_mmio_found probe_place(uint64_t phys, struct virtio_mmio **net)
{
    volatile uint8_t *regs = boot_map_device(phys, VIRTIO_MMIO_LEN_MIN);
    enum virtio_mmio_found found = virtio_mmio_identify(regs);

    if (found == VIRTIO_MMIO_LEGACY) {
        netdev_unusable();
        print("mmio 0x%lx: this virtio-net device is of the legacy kind; start QEMU with "
              "-global virtio-mmio.force-legacy=false.\n",
              phys);
    }
    if (found != VIRTIO_MMIO_NET)
        return found;
    struct virtio_mmio *dev = boot_alloc(sizeof *dev, CACHE_LINE);
    if (!dev)
        boot_misconfigured(
            "there is no memory for the network device at 0x%lx; give the machine more.", phys);
    virtio_mmio_attach(dev, regs, VIRTIO_MMIO_LEN_MIN, phys);
    *net = dev;
    return found;
}

/* --- the key -------------------------------------------------------------------------------- */

static struct virtio_mmio_place places[PLACES_MAX];
static uint32_t place_count;

/* Reads a number, decimal or with 0x, up to the end of its digits. NULL if there is none or it is
 * too large. */
static const char *take_number(const char *text, uint64_t *value)
{
    const bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const uint64_t base = hex ? 16 : 10;
    const char *begin = hex ? text + 2 : text, *at = begin;

    for (*value = 0;; at++) {
        const char c = (char)(*at | 0x20); /* lower case; digits stay as they are */
        uint64_t digit = base;
        if (*at >= '0' && *at <= '9')
            digit = (uint64_t)(*at - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint64_t)(c - 'a') + 10;
        if (digit >= base)
            return at > begin ? at : NULL;
        if (__builtin_mul_overflow(*value, base, value) ||
            __builtin_add_overflow(*value, digit, value))
            return NULL;
    }
}

bool virtio_mmio_parse(const char *text, struct virtio_mmio_place *place)
{
    const char *at = take_number(text, &place->len);
    uint64_t line, ignored;

    if (!at)
        return false;
    uint32_t shift = *at == 'K' || *at == 'k' ? 10 : *at == 'M' || *at == 'm' ? 20 : 0;
    if (place->len << shift >> shift != place->len)
        return false;
    place->len <<= shift;
    at += shift != 0;
    if (*at++ != '@' || !(at = take_number(at, &place->phys)))
        return false;
    if (*at++ != ':' || !(at = take_number(at, &line)) || line > UINT32_MAX)
        return false;
    place->line = (uint32_t)line;
    if (*at == ':' && !(at = take_number(at + 1, &ignored))) /* an id for Linux's own use */
        return false;
    return *at == 0 && place->len >= VIRTIO_MMIO_LEN_MIN && place->phys % 4 == 0 &&
           place->phys >= PAGE_SIZE && place->phys <= BOOT_ADDRESS_END &&
           place->len <= BOOT_ADDRESS_END - place->phys;
}

static const char *parse_key(const struct boot_key *key, const char *text)
{
    struct virtio_mmio_place place;

    (void)key;
    if (!virtio_mmio_parse(text, &place))
        return "<size>@<address>:<irq> such as 512@0xfeb00e00:12, of at least 512 bytes below 2^47";
    if (place_count == PLACES_MAX)
        return "at most 32 of them";
    places[place_count++] = place;
    return NULL;
}

BOOT_KEY("virtio_mmio.device+", parse_key, NULL, NULL, "",
         "a virtio device's registers, <size>@<address>:<irq>, as for Linux");

/* QEMU fills the slots from the last to the first: the order of its command line. */
static void probe_slots(bool (*irq_line)(uint32_t line))
{
    struct virtio_mmio *dev;

    if (virtio_mmio_identify(boot_map_device(microvm_base, VIRTIO_MMIO_LEN_MIN)) ==
        VIRTIO_MMIO_NOTHING)
        return; /* this isn't a microvm */
    for (uint32_t i = MICROVM_SLOTS; i-- > 0;)
        if (probe_place(microvm_base + i * MICROVM_SLOT_LEN, &dev) == VIRTIO_MMIO_NET) {
            dev->line = (struct virtio_mmio_line){
                irq_line, {MICROVM_LINES + i, MICROVM_LINES_SINGLE + i}, false};
            virtio_net_add(&dev->base);
        }
}

void virtio_mmio_probe(bool slots, bool (*irq_line)(uint32_t line))
{
    struct virtio_mmio *dev;

    for (uint32_t i = 0; i < place_count; i++)
        if (probe_place(places[i].phys, &dev) == VIRTIO_MMIO_NET) {
            dev->line =
                (struct virtio_mmio_line){irq_line, {places[i].line, places[i].line}, false};
            virtio_net_add(&dev->base);
        }
    if (place_count == 0 && slots)
        probe_slots(irq_line);
}
