/* SPDX-License-Identifier: BSD-2-Clause */
/* words.c - cuts a command line into words, and tells what kind of word one is. See words.h. */
#include "boot/words.h"

/* Parameters of Linux that VMMs and boot loaders write by themselves, or that stand in lines which
 * people copy. One that reads like a key of ours isn't in here: ip, mem, debug. */
static const char linux_names[] =
    " BOOT_IMAGE acpi acpi_rsdp apparmor audit biosdevname clocksource console crashkernel "
    "earlycon earlyprintk init initrd intel_iommu iommu loglevel lsm maxcpus mitigations "
    "net.ifnames no_timer_check noacpi noapic nokaslr nolapic nomodeset nomodule "
    "noreplace-smp nosmp nr_cpus panic pci pcie_ports quiet rdinit reboot ro root rootdelay "
    "rootflags rootfstype rootwait rw selinux splash swiotlb tsc ";

/* Of its modules and of what its init reads: all names that begin so. */
static const char linux_beginnings[] = " 8250. agent. cryptomgr. i8042. libata. printk. random. "
                                       "rcupdate. rd. scsi_mod. systemd. virtio_mmio. ";

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Leaves out a quote at the beginning, and with it one at the end. */
static void unquote(const char **text, size_t *len)
{
    if (*len == 0 || **text != '"')
        return;
    ++*text;
    --*len;
    if (*len > 0 && (*text)[*len - 1] == '"')
        --*len;
}

bool word_next(const char **text, struct word *word)
{
    const char *start = *text;
    bool quoted = false;

    while (is_space(*start))
        start++;
    const char *end = start;
    for (; *end && (quoted || !is_space(*end)); end++)
        quoted ^= *end == '"';
    *text = end;
    size_t len = (size_t)(end - start);
    if (len == 0)
        return false;
    unquote(&start, &len);
    const char *equals = memchr(start, '=', len);
    *word = (struct word){.name = start, .name_len = len};
    if (equals) {
        word->name_len = (size_t)(equals - start);
        word->value = equals + 1;
        word->value_len = len - word->name_len - 1;
        unquote(&word->value, &word->value_len);
    }
    return true;
}

/* Is `name` one of the words of `list`, each of which has a space before and behind it? With
 * `begins`, such a word may also be the beginning of the name. */
static bool is_listed(const char *list, const char *name, size_t len, bool begins)
{
    for (const char *at = list + 1; *at; at = strchr(at, ' ') + 1) {
        size_t listed = (size_t)(strchr(at, ' ') - at);
        if ((begins ? listed <= len : listed == len) && strncmp(at, name, listed) == 0)
            return true;
    }
    return false;
}

bool word_is_linux(const struct word *word)
{
    return is_listed(linux_names, word->name, word->name_len, false) ||
           is_listed(linux_beginnings, word->name, word->name_len, true);
}

unsigned word_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    /* rows[i % 3][j]: of the first i letters of a from the first j of b */
    uint8_t rows[3][WORD_NAME_MAX + 1];

    if (a_len > WORD_NAME_MAX || b_len > WORD_NAME_MAX)
        return WORD_FAR;
    for (size_t i = 0; i <= a_len; i++) {
        uint8_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        for (size_t j = 0; j <= b_len; j++) {
            if (i == 0 || j == 0) {
                row[j] = (uint8_t)(i + j);
                continue;
            }
            uint8_t changed = (uint8_t)(above[j - 1] + (a[i - 1] != b[j - 1]));
            uint8_t added = (uint8_t)(MIN(above[j], row[j - 1]) + 1);
            row[j] = MIN(changed, added);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = (uint8_t)MIN(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}
