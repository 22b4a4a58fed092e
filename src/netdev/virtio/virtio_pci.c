/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_pci.c - virtio over PCI (virtio 1.1, section 4.1), modern interface only.
 *
 * Vendor capabilities in configuration space say where in which BAR each structure of the device
 * lies:
 *
 *   capability --> common configuration   status, features, queues: registers
 *   capability --> notification area      one 16-bit doorbell a queue, `multiplier` bytes apart
 *   capability --> device configuration   MAC, link status, MTU
 *
 * Each capability's bar, offset and length are checked against the measured size of the BAR.
 *
 * Interrupts are MSI-X only (section 4.1.4.3): the receive queue of pair n has entry n of the
 * table, which wakes the core that arms it; everything else has VIRTIO_MSI_NO_VECTOR, and the pin
 * is switched off. A device without MSI-X, or with too few entries, is polled.
 */
#include "netdev/virtio/virtio_pci.h"
#include "boot/boot.h"
#include "netdev/virtio/pci_slots.h"
#include "netdev/virtio/virtio_net.h"

enum {
    VENDOR_VIRTIO = 0x1af4,
    DEVICE_NET = 0x1041,              /* 0x1040 + device id 1 */
    DEVICE_NET_TRANSITIONAL = 0x1000, /* has the legacy interface as well */
    CLASS_NETWORK = 0x02,             /* Ethernet and others */
    CAPABILITY_VENDOR = 0x09,
    DRIVEN_MAX = 64,
    DEVICE_LEN_MAX = 256, /* mapped of the device's configuration */
};

#define SLOT_LOOK_NS 1000000000ull

static struct virtio_pci *pci_of(struct virtio_transport *t)
{
    return (struct virtio_pci *)t;
}

/* --- the transport -------------------------------------------------------------------------- */

/* Is the device still there, and where it was? One that was plugged in anew has no address yet. */
static bool still_there(const struct virtio_pci *dev)
{
    return dev->pci->read(dev->function, dev->place) == dev->bar;
}

/* A device that has gone reads as ones, or where a VMM likes it as zeroes. It is in reset for sure
 * once that is asked for, and needs one before. */
static uint8_t status(struct virtio_transport *t)
{
    const struct virtio_pci *dev = pci_of(t);
    const uint8_t value = dev->common->device_status;

    if ((value == UINT8_MAX || (value == 0 && dev->status != 0)) && !still_there(dev))
        return dev->status == 0 ? 0 : UINT8_MAX;
    return value;
}

static void set_status(struct virtio_transport *t, uint8_t value)
{
    struct virtio_pci *dev = pci_of(t);

    if (value != 0 && dev->dma_stopped) { /* it has confirmed a reset since */
        pci_enable(dev->pci, dev->function);
        dev->dma_stopped = false;
    }
    dev->status = value;
    dev->common->device_status = value;
}

static bool stop_dma(struct virtio_transport *t)
{
    struct virtio_pci *dev = pci_of(t);

    dev->dma_stopped = true;
    return pci_stop_master(dev->pci, dev->function);
}

static uint64_t features(struct virtio_transport *t)
{
    volatile struct virtio_pci_common_cfg *common = pci_of(t)->common;

    common->device_feature_select = 0;
    uint64_t low = common->device_feature;
    common->device_feature_select = 1;
    return (uint64_t)common->device_feature << 32 | low;
}

static void set_features(struct virtio_transport *t, uint64_t value)
{
    volatile struct virtio_pci_common_cfg *common = pci_of(t)->common;

    common->guest_feature_select = 0;
    common->guest_feature = (uint32_t)value;
    common->guest_feature_select = 1;
    common->guest_feature = (uint32_t)(value >> 32);
}

static uint32_t config(struct virtio_transport *t, uint32_t offset, uint32_t width_bytes)
{
    const struct virtio_pci *dev = pci_of(t);
    volatile uint8_t *at = dev->device + offset;

    if (offset + width_bytes > dev->device_len)
        return 0;
    if (width_bytes == 1)
        return *at;
    return width_bytes == 2 ? *(volatile uint16_t *)at : *(volatile uint32_t *)at;
}

static uint32_t config_generation(struct virtio_transport *t)
{
    return pci_of(t)->common->config_generation;
}

static uint32_t queue_size_max(struct virtio_transport *t, uint16_t q)
{
    volatile struct virtio_pci_common_cfg *common = pci_of(t)->common;

    if (q >= common->num_queues)
        return 0;
    common->queue_select = q;
    return common->queue_size;
}

/* Registers of 64 bits are written as two words, section 4.1.3.1. */
static void write_address(volatile uint32_t *low, volatile uint32_t *high, uint64_t address)
{
    *low = (uint32_t)address;
    *high = (uint32_t)(address >> 32);
}

/* Gives the selected queue an entry of the table, if one is wanted and there. False if it has none
 * now: also a device may refuse, and then its register doesn't keep what was written. */
static bool set_vector(struct virtio_pci *dev, uint16_t q, const struct virtio_queue_place *place)
{
    volatile struct virtio_pci_common_cfg *common = dev->common;
    const uint16_t entry = q / 2;

    if (place->wakes && entry < dev->msix.count) {
        common->queue_msix_vector = entry;
        if (common->queue_msix_vector == entry)
            return true;
    }
    common->queue_msix_vector = VIRTIO_MSI_NO_VECTOR;
    return false;
}

static bool queue_enable(struct virtio_transport *t, uint16_t q,
                         const struct virtio_queue_place *place)
{
    struct virtio_pci *dev = pci_of(t);
    volatile struct virtio_pci_common_cfg *common = dev->common;

    if (queue_size_max(t, q) < place->size || common->queue_enable != 0)
        return false;
    uint64_t doorbell = (uint64_t)common->queue_notify_off * dev->notify_multiplier;
    if (doorbell + sizeof(uint16_t) > dev->notify_len || doorbell % sizeof(uint16_t) != 0)
        return false;
    dev->doorbells[q] = dev->pci->map(dev->notify_phys + doorbell, sizeof(uint16_t));
    common->queue_size = place->size;
    dev->interrupts[q] = set_vector(dev, q, place);
    write_address(&common->queue_desc_lo, &common->queue_desc_hi, place->desc);
    write_address(&common->queue_avail_lo, &common->queue_avail_hi, place->avail);
    write_address(&common->queue_used_lo, &common->queue_used_hi, place->used);
    common->queue_enable = 1;
    return common->queue_size == place->size;
}

static void kick(struct virtio_transport *t, uint16_t q)
{
    *pci_of(t)->doorbells[q] = q;
}

static bool arm(struct virtio_transport *t, uint16_t q, bool on)
{
    struct virtio_pci *dev = pci_of(t);

    if (on && dev->interrupts[q] && dev->woken[q] != boot_core() + 1) {
        pci_msix_set(&dev->msix, q / 2u, dev->pci->msi(boot_core()));
        dev->woken[q] = boot_core() + 1;
    }
    return dev->interrupts[q]; /* a message is sent once and needs no acknowledgement */
}

/* --- devices that come and go -------------------------------------------------------------------
 */

static struct virtio_pci *driven[DRIVEN_MAX];
static uint32_t driven_count;

/* Is a function of the slot that `member` is in in use, or one behind it? */
static bool slot_in_use(uint16_t member)
{
    for (uint32_t i = 0; i < driven_count; i++) {
        uint16_t function = driven[i]->function;
        uint32_t depth = 0;
        do { /* one that wasn't told to begin, or was given up before, does nothing */
            if (driven[i]->status & VIRTIO_CONFIG_S_DRIVER_OK && function >> 3 == member >> 3)
                return true;
        } while (pci_bridge_of(function, &function) && depth++ < PCI_DEPTH_MAX);
    }
    return false;
}

/* A look at a slot takes some microseconds, or where ports are emulated a hundred. */
static bool wanted_back(struct virtio_transport *t)
{
    struct virtio_pci *dev = pci_of(t);
    const uint64_t now_ns = clock_ns();

    if (now_ns < dev->next_slot_ns || dev->status == 0)
        return false;
    if (pci_slot_wanted_back(dev->pci, dev->function))
        return true;
    dev->next_slot_ns = now_ns + SLOT_LOOK_NS;
    pci_slots_tidy(dev->pci, slot_in_use);
    return false;
}

static void give_back(struct virtio_transport *t)
{
    struct virtio_pci *dev = pci_of(t);

    dev->left_alone = true;
    /* Of a slot's functions, or of those behind a bridge, whose driver is the last to let go. */
    pci_slot_give_back(dev->pci, dev->function, slot_in_use);
}

static bool reattach(struct virtio_pci *dev);

static bool present(struct virtio_transport *t)
{
    struct virtio_pci *dev = pci_of(t);

    if (!pci_slot_has_power(dev->pci, dev->function))
        return false;
    if (!still_there(dev))
        dev->left_alone =
            dev->pci->read(dev->function, PCI_VENDOR_DEVICE) != dev->id || !reattach(dev);
    return !dev->left_alone;
}

static const struct virtio_transport_ops ops = {
    .present = present,
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
    .stop_dma = stop_dma,
    .wanted_back = wanted_back,
    .give_back = give_back,
};

/* --- finding the structures ----------------------------------------------------------------- */

/* The address and length of the structure that the capability at `cap` describes. False if it has
 * fewer than min_len bytes, isn't aligned or isn't inside its BAR. */
static bool find_structure(struct virtio_pci *dev, uint32_t cap, uint32_t min_len, uint32_t align,
                           uint64_t *phys, uint32_t *len)
{
    const struct pci_access *pci = dev->pci;
    const uint16_t function = dev->function;
    uint32_t index = pci_read8(pci, function, cap + VIRTIO_PCI_CAP_BAR);
    uint32_t offset = pci->read(function, cap + VIRTIO_PCI_CAP_OFFSET);
    struct pci_bar bar;

    *len = pci->read(function, cap + VIRTIO_PCI_CAP_LENGTH);
    if (*len < min_len || offset % align != 0)
        return false;
    if (!pci_bar(pci, function, index, &bar)) {
        if (bar.base == 0)
            dev->unplaced_bytes = MAX(dev->unplaced_bytes, bar.len);
        return false;
    }
    *phys = bar.base + offset;
    return (uint64_t)offset + *len <= bar.len;
}

/* Maps at most max_len bytes of a structure of registers. NULL if there isn't one. */
static void *map_structure(struct virtio_pci *dev, uint32_t cap, uint32_t min_len, uint32_t max_len,
                           uint32_t *mapped_len)
{
    uint64_t phys;
    uint32_t len;

    if (!find_structure(dev, cap, min_len, sizeof(uint32_t), &phys, &len))
        return NULL;
    *mapped_len = MIN(len, max_len);
    return dev->pci->map(phys, *mapped_len);
}

/* The notification area may be long, and a doorbell anywhere in it (sections 4.1.4.4 and
 * 4.1.4.4.1): it is only found here. */
static void take_notification_area(struct virtio_pci *dev, uint32_t cap)
{
    uint64_t phys;
    uint32_t len;

    if (!find_structure(dev, cap, sizeof(uint16_t), sizeof(uint16_t), &phys, &len))
        return;
    dev->notify_phys = phys;
    dev->notify_len = len;
    dev->notify_multiplier = dev->pci->read(dev->function, cap + VIRTIO_PCI_NOTIFY_CAP_MULT);
}

/* Takes one capability. Of several of one type, the first that can be used counts. */
static void take_capability(struct virtio_pci *dev, const struct pci_access *pci, uint16_t function,
                            uint32_t cap)
{
    const uint32_t common_len = sizeof *dev->common;
    uint8_t type = pci_read8(pci, function, cap + VIRTIO_PCI_CAP_CFG_TYPE);
    uint32_t cap_len = pci_read8(pci, function, cap + VIRTIO_PCI_CAP_LEN), len;

    if (cap_len < sizeof(struct virtio_pci_cap) || cap + cap_len > 256)
        return;
    if (type == VIRTIO_PCI_CAP_COMMON_CFG && !dev->common) {
        dev->common = map_structure(dev, cap, common_len, common_len, &len);
        dev->place = PCI_BAR0 + pci_read8(pci, function, cap + VIRTIO_PCI_CAP_BAR) * 4u;
    } else if (type == VIRTIO_PCI_CAP_DEVICE_CFG && !dev->device) {
        dev->device = map_structure(dev, cap, 1, DEVICE_LEN_MAX, &dev->device_len);
    } else if (type == VIRTIO_PCI_CAP_NOTIFY_CFG && dev->notify_len == 0 &&
               cap_len >= sizeof(struct virtio_pci_notify_cap)) {
        take_notification_area(dev, cap);
    }
}

bool virtio_pci_attach(struct virtio_pci *dev, const struct pci_access *pci, uint16_t function)
{
    uint32_t cap = 0, steps = 0;
    char place[PCI_PLACE_BYTES];

    *dev = (struct virtio_pci){
        .base = {.ops = &ops, .driver = "virtio-net over PCI"}, .pci = pci, .function = function};
    format(dev->base.where, sizeof dev->base.where, "pci %s", pci_place_text(place, function));
    while (pci_next_capability(pci, function, &cap, &steps))
        if (pci_read8(pci, function, cap) == CAPABILITY_VENDOR)
            take_capability(dev, pci, function, cap);
    if (!dev->common || !dev->device || dev->notify_len == 0)
        return false;
    dev->id = pci->read(function, PCI_VENDOR_DEVICE);
    dev->bar = pci->read(function, dev->place);
    pci_enable(pci, function);
    pci_msix_enable(pci, function, &dev->msix);
    dev->common->msix_config = VIRTIO_MSI_NO_VECTOR;
    return true;
}

/* A device was plugged in where this one was: gives its registers the addresses that those had. In
 * all else it must be the same, as other cores may be kicking its doorbells. */
static bool reattach(struct virtio_pci *dev)
{
    struct virtio_pci fresh;

    if (!virtio_pci_attach(&fresh, dev->pci, dev->function) || fresh.common != dev->common ||
        fresh.device != dev->device || fresh.device_len != dev->device_len ||
        fresh.notify_phys != dev->notify_phys || fresh.notify_len != dev->notify_len ||
        fresh.notify_multiplier != dev->notify_multiplier)
        return false;
    dev->msix = fresh.msix;
    dev->bar = fresh.bar;
    dev->status = 0;
    dev->dma_stopped = false;
    memset(dev->woken, 0, sizeof dev->woken);
    return true;
}

enum virtio_pci_found virtio_pci_identify(uint32_t vendor_device, uint32_t class_revision)
{
    const uint32_t vendor = vendor_device & 0xffff, device = vendor_device >> 16;

    if (vendor == VENDOR_VIRTIO && (device == DEVICE_NET || device == DEVICE_NET_TRANSITIONAL))
        return VIRTIO_PCI_NET;
    return class_revision >> 24 == CLASS_NETWORK ? VIRTIO_PCI_NETWORK : VIRTIO_PCI_OTHER;
}

/* Says why a device of virtio's can't be used. */
static void tell_unusable(const struct virtio_pci *dev, uint32_t id)
{
    char place[PCI_PLACE_BYTES];
    uint16_t bridge;

    netdev_unusable();
    print("%s: the virtio-net device %04x:%04x ", dev->base.where, id & 0xffff, id >> 16);
    if (dev->unplaced_bytes == 0)
        print("has no usable modern interface; start it with disable-modern=off.\n");
    else
        print("has no address from the firmware, and there is no room for its %u KiB behind the "
              "%s bridge.\n",
              (uint32_t)(dev->unplaced_bytes >> 10),
              pci_bridge_of(dev->function, &bridge) ? pci_place_text(place, bridge) : "host");
}

static void add_device(const struct pci_access *pci, uint16_t function, uint32_t id)
{
    struct virtio_pci *dev = boot_alloc(sizeof *dev, CACHE_LINE);
    if (!dev)
        boot_misconfigured("there is no memory for the PCI device %x; give the machine more.",
                           function);
    if (!virtio_pci_attach(dev, pci, function)) {
        tell_unusable(dev, id);
        return;
    }
    if (driven_count < DRIVEN_MAX)
        driven[driven_count++] = dev;
    virtio_net_add(&dev->base);
}

static void probe_function(const struct pci_access *pci, uint16_t function)
{
    const uint32_t id = pci->read(function, PCI_VENDOR_DEVICE);
    const enum virtio_pci_found found =
        virtio_pci_identify(id, pci->read(function, PCI_CLASS_REVISION));
    char place[PCI_PLACE_BYTES];

    if (found == VIRTIO_PCI_NET) {
        add_device(pci, function, id);
    } else if (found == VIRTIO_PCI_NETWORK) {
        netdev_unusable();
        print("pci %s is a network device %04x:%04x, which Ringloop has no driver for; use -device "
              "virtio-net-pci.\n",
              pci_place_text(place, function), id & 0xffff, id >> 16);
    } else {
        virtio_pci_iommu_look(pci, function);
    }
}

void virtio_pci_probe(const struct pci_access *pci)
{
    pci_scan(pci, probe_function);
    pci_slots_find(pci);
    for (uint32_t i = 0; i < driven_count; i++)
        virtio_pci_iommu_tell(driven[i]);
}
