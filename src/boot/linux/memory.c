/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.c - the memory of a host process.
 *
 * What devices use lies in one file without a name, so that another process can be given all of it.
 * If enough huge pages are set aside then the file is made of them, and so is all memory.
 *
 * Else the file has ordinary pages, and memory that no device uses is a mapping of its own that
 * nobody shares: of such the kernel makes huge pages by itself when asked (madvise), while for
 * files most systems are set not to (shmem_enabled). Both mappings are asked for; each is as large
 * as all memory, as pages are added when they are touched, and together they give out no more.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "boot/boot.h"
#include "boot/linux/linux.h"
#include "boot/words.h"

enum { MEMORY_DEFAULT = 256 << 20, MEMORY_MIN = 1 << 20 };
#define MEMORY_MAX (1ull << 40)
#define HUGE_PAGE  ((size_t)2 << 20)

static uint64_t memory_bytes = MEMORY_DEFAULT;
BOOT_KEY_RANGE("mem", boot_parse_size, &memory_bytes, "256M", "bytes",
               "memory for pools and stores; from huge pages if enough are free", MEMORY_MIN,
               MEMORY_MAX);

struct linux_memory linux_memory = {.fd = -1};
static uint8_t *private_start; /* as long as the file; NULL if there is none */
static size_t shared_used, private_used;

static void *take(uint8_t *start, size_t *used, size_t len, size_t align)
{
    assert(IS_POWER_OF_2(align));
    const size_t at = ALIGN_UP(*used, align), more = at - *used;
    if (more > boot_alloc_max() || len > boot_alloc_max() - more)
        return NULL;
    *used = at + len;
    return start + at; /* of a new file or mapping, so it is zeroed */
}

void *boot_alloc(size_t len, size_t align)
{
    return take(linux_memory.start, &shared_used, len, align);
}

void *boot_alloc_private(size_t len, size_t align)
{
    return private_start ? take(private_start, &private_used, len, align) : boot_alloc(len, align);
}

size_t boot_alloc_max(void)
{
    return linux_memory.len - shared_used - private_used;
}

uint64_t boot_memory_bytes(void)
{
    return linux_memory.len;
}

/* Maps a file, or with fd -1 private memory, at a multiple of a huge page, without which the kernel
 * could make no huge pages of its ends. NULL if the kernel hasn't got it: for huge pages of a file
 * it says so now, as they are set aside when they are mapped. */
static uint8_t *map(int fd, size_t len)
{
    const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
    uint8_t *space =
        mmap(NULL, len + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (space == MAP_FAILED)
        return NULL;
    uint8_t *start = (uint8_t *)ALIGN_UP((uintptr_t)space, HUGE_PAGE);
    if (start > space)
        munmap(space, (size_t)(start - space));
    if (start < space + HUGE_PAGE)
        munmap(start + len, (size_t)(space + HUGE_PAGE - start));
    if (mmap(start, len, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) != MAP_FAILED)
        return start;
    munmap(start, len);
    return NULL;
}

/* False if the kernel hasn't got it. */
static bool map_file(size_t len, unsigned flags)
{
    int fd = memfd_create("ringloop", MFD_CLOEXEC | flags);
    uint8_t *start = NULL;

    if (fd < 0)
        return false;
    if (ftruncate(fd, (off_t)len) == 0)
        start = map(fd, len);
    if (start)
        linux_memory = (struct linux_memory){fd, start, len};
    else
        close(fd);
    return start;
}

/* Does the kernel make huge pages of a mapping that asks for them? */
static bool makes_huge_pages(void)
{
    int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
    char text[64];

    if (fd < 0)
        return false;
    const ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    text[MAX(len, (ssize_t)0)] = 0;
    return len > 0 && !strstr(text, "[never]");
}

/* Memory is needed before the command line is parsed. A value that is wrong isn't taken here; the
 * parser tells of it later. */
static void read_memory_key(const char *line)
{
    const struct boot_key key = {.dst = &memory_bytes, .min = MEMORY_MIN, .max = MEMORY_MAX};
    char value[32];

    for (struct word word; word_next(&line, &word);)
        if (word.name_len == 3 && strncmp(word.name, "mem", 3) == 0 && word.value) {
            format(value, sizeof value, "%.*s", (int)word.value_len, word.value);
            boot_parse_size(&key, value);
        }
}

const char *linux_memory_take(const char *line)
{
    read_memory_key(line);
    const size_t len = ALIGN_UP((size_t)memory_bytes, HUGE_PAGE);

    if (map_file(len, MFD_HUGETLB | MFD_HUGE_2MB))
        return "huge pages";
    if (!map_file(len, 0))
        boot_misconfigured("the kernel gives no %lu MiB of memory; ask for less with mem=.",
                           len >> 20);
    private_start = map(-1, len);
    madvise(linux_memory.start, len, MADV_HUGEPAGE);
    if (!private_start || madvise(private_start, len, MADV_HUGEPAGE) != 0 || !makes_huge_pages())
        return "ordinary pages, as too few huge pages are free";
    return "ordinary pages, as too few huge pages are free; what no device uses in transparent "
           "huge "
           "ones";
}
