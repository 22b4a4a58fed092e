/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of words.c: how a line is cut, and whose a word is. */
#include "boot/boot.h"
#include "boot/test.h"
#include "boot/words.h"

/* A line's words as <name> or <name=value>. */
static const char *cut_line(const char *line)
{
    static char told[400];
    size_t len = 0;

    told[0] = 0;
    for (struct word w; word_next(&line, &w);)
        len += format(told + len, sizeof told - len, w.value ? "<%.*s=%.*s>" : "<%.*s>",
                      (int)w.name_len, w.name, (int)w.value_len, w.value);
    return told;
}

static bool is_linux(const char *line)
{
    struct word w;

    CHECK(word_next(&line, &w));
    return word_is_linux(&w);
}

static unsigned distance(const char *a, const char *b)
{
    unsigned there = word_distance(a, strlen(a), b, strlen(b));

    CHECK_EQ(word_distance(b, strlen(b), a, strlen(a)), there);
    return there;
}

TEST(words_end_at_any_white_space)
{
    CHECK_STR(cut_line(""), "");
    CHECK_STR(cut_line(" \t\r\n "), "");
    CHECK_STR(cut_line("a=1 b=2"), "<a=1><b=2>");
    CHECK_STR(cut_line("\ta=1\tb=2\r\nc\n"), "<a=1><b=2><c>");
    CHECK_STR(cut_line("a= =1 = a=b=c"), "<a=><=1><=><a=b=c>");
}

TEST(words_have_quotes_as_linux_has_them)
{
    CHECK_STR(cut_line("a=\"b c\" d"), "<a=b c><d>");
    CHECK_STR(cut_line("\"a=b c\" d"), "<a=b c><d>");
    CHECK_STR(cut_line("dyndbg=\"file a.c +p; file b.c +p\" x=1"),
              "<dyndbg=file a.c +p; file b.c +p><x=1>");
    CHECK_STR(cut_line("a=b\" \"c d"), "<a=b\" \"c><d>");
    CHECK_STR(cut_line("a=\"\" \"\" b"), "<a=><><b>");
    CHECK_STR(cut_line("a=\"b c"), "<a=b c>"); /* never closed */
    CHECK_STR(cut_line("a=\""), "<a=>");
}

/* Firecracker's own line, and what it appends for a root device. */
TEST(words_of_vmms_are_linux)
{
    const char *line = "reboot=k panic=1 pci=off nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux "
                       "i8042.nopnp i8042.dumbkbd swiotlb=noforce console=ttyS0 root=/dev/vda ro "
                       "root=PARTUUID=12-34/PARTNROFF=1 rw quiet noapic noacpi earlyprintk=serial "
                       "BOOT_IMAGE=/vmlinuz systemd.show_status=false random.trust_cpu=on "
                       "nr_cpus=1 maxcpus=1 scsi_mod.scan=none agent.log=debug";

    for (struct word w; word_next(&line, &w);)
        CHECK(word_is_linux(&w));
    CHECK(is_linux("init=\"/bin/sh -c\""));
    CHECK(is_linux("\"root=/dev/vda\""));
}

TEST(words_beside_those_of_linux_are_not)
{
    static const char *const others[] = {"r",        "rooot=1", "ro.x=1",  "panics=1", "8250",
                                         "8250=1",   "i8042",   "x8250.a", "Quiet",    "quiet.=1",
                                         "=quiet",   "\"\"",    "net.=1",  "systemd",  "root.",
                                         "virtio.a", "mem=1",   "ip=dhcp", "console.", "--"};

    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        CHECK(!is_linux(others[i]));
}

/* A key that is mistyped by a letter stops the image, so it may not pass for a word of Linux. */
TEST(words_that_are_nearly_keys_are_not_linux)
{
    extern const struct boot_key __start_boot_keys[], __stop_boot_keys[];
    char name[64];

    for (const struct boot_key *key = __start_boot_keys; key < __stop_boot_keys; key++) {
        if (strncmp(key->name, "virtio_mmio.", 12) == 0)
            continue; /* Linux' own, which we know, too */
        for (size_t i = 0; i < strlen(key->name); i++) {
            struct word w = {.name = name, .name_len = strlen(key->name)};
            memcpy(name, key->name, w.name_len);
            CHECK(!word_is_linux(&w));
            name[i] = 'x';
            CHECK(!word_is_linux(&w));
            memcpy(name, key->name, i);
            memcpy(name + i, key->name + i + 1, --w.name_len - i);
            CHECK(!word_is_linux(&w));
        }
    }
}

TEST(words_differ_by_letters)
{
    CHECK_EQ(distance("", ""), 0);
    CHECK_EQ(distance("", "ring"), 4);
    CHECK_EQ(distance("ring", "ring"), 0);
    CHECK_EQ(distance("ring", "rign"), 1);
    CHECK_EQ(distance("ring", "rng"), 1);
    CHECK_EQ(distance("ring", "rings"), 1);
    CHECK_EQ(distance("ring", "king"), 1);
    CHECK_EQ(distance("udpkv.mem", "udpvk.men"), 2);
    CHECK_EQ(distance("abc", "xyz"), 3);
    CHECK_EQ(distance("0123456789012345678901234567890", "012345678901234567890123456789"), 1);
    CHECK_EQ(distance("01234567890123456789012345678901", "ring"), WORD_FAR);
}
