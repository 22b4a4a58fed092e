/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of virtio's MMIO transport: what stands at an address, registers, the key's syntax. */
#include "boot/test.h"
#include "netdev/virtio/virtio_mmio.h"

static uint32_t words[VIRTIO_MMIO_LEN_MIN / 4];

static enum virtio_mmio_found identify(uint32_t magic, uint32_t version, uint32_t id)
{
    words[VIRTIO_MMIO_MAGIC_VALUE / 4] = magic;
    words[VIRTIO_MMIO_VERSION / 4] = version;
    words[VIRTIO_MMIO_DEVICE_ID / 4] = id;
    return virtio_mmio_identify((const volatile uint8_t *)words);
}

TEST(virtio_mmio_tells_devices_apart)
{
    CHECK_EQ(identify(0x74726976, 2, 1), VIRTIO_MMIO_NET);
    CHECK_EQ(identify(0x74726976, 2, 0), VIRTIO_MMIO_EMPTY);
    CHECK_EQ(identify(0x74726976, 1, 0), VIRTIO_MMIO_EMPTY);
    CHECK_EQ(identify(0x74726976, 1, 1), VIRTIO_MMIO_LEGACY);
    CHECK_EQ(identify(0x74726976, 2, 2), VIRTIO_MMIO_OTHER);
    CHECK_EQ(identify(0x74726976, 3, 1), VIRTIO_MMIO_OTHER);
    CHECK_EQ(identify(0, 2, 1), VIRTIO_MMIO_NOTHING);
    CHECK_EQ(identify(UINT32_MAX, UINT32_MAX, UINT32_MAX), VIRTIO_MMIO_NOTHING);
}

TEST(virtio_mmio_registers)
{
    const struct virtio_queue_place place = {64, 0x123456789000, 0x123456789400, 0x1000, true};
    struct virtio_mmio dev;

    memset(words, 0, sizeof words);
    virtio_mmio_attach(&dev, (volatile uint8_t *)words, sizeof words, 0xfeb02e00);
    CHECK_STR(dev.base.where, "mmio 0xfeb02e00");
    const struct virtio_transport_ops *ops = dev.base.ops;
    words[VIRTIO_MMIO_QUEUE_NUM_MAX / 4] = 32;
    CHECK(!ops->queue_enable(&dev.base, 1, &place)); /* larger than the device allows */
    words[VIRTIO_MMIO_QUEUE_NUM_MAX / 4] = 1024;
    CHECK_EQ(ops->queue_size_max(&dev.base, 1), 1024);
    CHECK(ops->queue_enable(&dev.base, 1, &place));
    CHECK_EQ(words[VIRTIO_MMIO_QUEUE_SEL / 4], 1);
    CHECK_EQ(words[VIRTIO_MMIO_QUEUE_NUM / 4], 64);
    CHECK_EQ(words[VIRTIO_MMIO_QUEUE_DESC_LOW / 4], 0x56789000);
    CHECK_EQ(words[VIRTIO_MMIO_QUEUE_DESC_HIGH / 4], 0x1234);
    CHECK_EQ(words[VIRTIO_MMIO_QUEUE_AVAIL_LOW / 4], 0x56789400);
    CHECK_EQ(words[VIRTIO_MMIO_QUEUE_USED_LOW / 4], 0x1000);
    CHECK_EQ(words[VIRTIO_MMIO_QUEUE_READY / 4], 1);
    CHECK(!ops->queue_enable(&dev.base, 1, &place)); /* it is enabled */
    ops->kick(&dev.base, 1);
    CHECK_EQ(words[VIRTIO_MMIO_QUEUE_NOTIFY / 4], 1);
    words[VIRTIO_MMIO_CONFIG / 4 + 2] = 0x11223344;
    CHECK_EQ(ops->config(&dev.base, 8, 1), 0x44);
    CHECK_EQ(ops->config(&dev.base, 10, 2), 0x1122);
    CHECK_EQ(ops->config(&dev.base, VIRTIO_MMIO_LEN_MIN, 4), 0); /* outside */
    ops->set_status(&dev.base, 7);
    CHECK_EQ(ops->status(&dev.base), 7);
}

static uint32_t line_uses, line_there;

static bool use_line(uint32_t line)
{
    line_uses++;
    return line == line_there;
}

TEST(virtio_mmio_line)
{
    static const uint32_t lines[] = {24, 16, 5}; /* the third leads nowhere */
    struct virtio_mmio dev;

    for (uint32_t i = 0; i < ARRAY_LEN(lines); i++) {
        memset(words, 0, sizeof words);
        virtio_mmio_attach(&dev, (volatile uint8_t *)words, sizeof words, 0xfeb02e00);
        const struct virtio_transport_ops *ops = dev.base.ops;
        dev.line = (struct virtio_mmio_line){use_line, {24, 16}, false};
        line_uses = 0;
        line_there = lines[i];
        words[VIRTIO_MMIO_INTERRUPT_STATUS / 4] = i + 1;
        CHECK_EQ(ops->arm(&dev.base, 0, true), i < 2);
        CHECK_EQ(line_uses, i == 0 ? 1 : 2);
        /* What it says is acknowledged, and nothing else. */
        CHECK_EQ(words[VIRTIO_MMIO_INTERRUPT_ACK / 4], i < 2 ? i + 1 : 0);
        words[VIRTIO_MMIO_INTERRUPT_STATUS / 4] = 0;
        words[VIRTIO_MMIO_INTERRUPT_ACK / 4] = 0;
        ops->arm(&dev.base, 0, false);
        CHECK_EQ(words[VIRTIO_MMIO_INTERRUPT_ACK / 4], 0);
        CHECK_EQ(ops->arm(&dev.base, 0, true), i < 2);
        CHECK_EQ(line_uses, i == 0 ? 1 : 2); /* once is enough */
        CHECK_EQ(words[VIRTIO_MMIO_INTERRUPT_ACK / 4], 0);
    }
}

TEST(virtio_mmio_key)
{
    static const char *const bad[] = {
        "",
        "512",
        "512@",
        "512@0x1000",
        "512@0x1000:",
        "512@0x1000:1:",
        "512@0x1000:1:2:3",
        "512@0x1000:1 ",
        "512@0x1000:4294967296",
        "0x@0x1000:1",
        "511@0x1000:1",
        "512@0x1001:1",
        "512@0x10000000000000000:1",
        "18446744073709551615K@0x1000:1",
        "0x1000@0xfffffffffffffffc:1",
        "512@0x800000000000:1",
        "512@0x7ffffffffffc:1",
        "512@0:1",
        "abc@0x1000:1",
        "512@def:1",
    };
    struct virtio_mmio_place place;

    CHECK(virtio_mmio_parse("512@0xfeb00e00:12", &place));
    CHECK(place.phys == 0xfeb00e00 && place.len == 512 && place.line == 12);
    CHECK(virtio_mmio_parse("4K@0xD0000000:5:0", &place));
    CHECK(place.phys == 0xd0000000 && place.len == 4096);
    CHECK(virtio_mmio_parse("0x200@4096:1", &place));
    CHECK(place.phys == 4096 && place.len == 512);
    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(!virtio_mmio_parse(bad[i], &place));
}
