/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * command_line.c - sets the keys of this image from `key=value` words.
 *
 * The linker gathers every BOOT_KEY of the files that are linked in into the section boot_keys.
 */
#include "boot/boot.h"

enum { MAX_KEYS = 128, MAX_VALUE = 256 };

extern const struct boot_key __start_boot_keys[] __attribute__((weak));
extern const struct boot_key __stop_boot_keys[] __attribute__((weak));

static bool repeats(const struct boot_key *key)
{
    return key->name[strlen(key->name) - 1] == '+';
}

static size_t name_len(const struct boot_key *key)
{
    return strlen(key->name) - (repeats(key) ? 1 : 0);
}

static size_t key_count(void)
{
    return (size_t)(__stop_boot_keys - __start_boot_keys);
}

static const struct boot_key *find_key(const char *word, size_t len)
{
    for (const struct boot_key *key = __start_boot_keys; key < __stop_boot_keys; key++)
        if (name_len(key) == len && strncmp(key->name, word, len) == 0)
            return key;
    return NULL;
}

_Noreturn static void help(void)
{
    print("Keys of this image, as key=value words on its command line:\n\n");
    for (size_t i = 0; i < key_count(); i++) {
        const struct boot_key *key = &__start_boot_keys[i];
        print("  %.*s%s\n      %s.", (int)name_len(key), key->name,
              repeats(key) ? "  (repeatable)" : "", key->help);
        if (key->unit[0])
            print(" Unit: %s.", key->unit);
        if (key->max)
            print(" From %lu to %lu.", key->min, key->max);
        print(" Default: %s.\n", key->def ? (key->def[0] ? key->def : "empty") : "none");
    }
    print("\n  help\n      Prints this and ends.\n");
    boot_exit(BOOT_EXIT_OK);
}

_Noreturn static void unknown(const char *word, size_t len)
{
    print("command line: there is no key '%.*s' in this image. Keys: help", (int)len, word);
    for (size_t i = 0; i < key_count(); i++)
        print(" %.*s", (int)name_len(&__start_boot_keys[i]), __start_boot_keys[i].name);
    print(". The word help alone explains the keys.\n");
    boot_exit(BOOT_EXIT_USAGE);
}

static void set_key(const struct boot_key *key, const char *value)
{
    const char *expected = key->parse(key, value);

    if (!expected)
        return;
    print("command line: %.*s=%s can't be used: expected %s", (int)name_len(key), key->name, value,
          expected);
    if (key->max)
        print(" from %lu to %lu", key->min, key->max);
    print(".\n");
    boot_exit(BOOT_EXIT_USAGE);
}

/* One word. Values are copied to memory of our own, as the keys keep pointers to them. */
static void take_word(const char *word, size_t len, bool *given)
{
    const char *equals = memchr(word, '=', len);
    if (len == 4 && strncmp(word, "help", 4) == 0)
        help();
    if (!equals) {
        print("command line: '%.*s' isn't of the form key=value"
              ". The word help alone explains the keys.\n",
              (int)len, word);
        boot_exit(BOOT_EXIT_USAGE);
    }
    size_t klen = (size_t)(equals - word), vlen = len - klen - 1;
    const struct boot_key *key = find_key(word, klen);
    if (!key)
        unknown(word, klen);
    if (vlen >= MAX_VALUE) {
        print("command line: the value of %.*s is longer than %d bytes.\n", (int)klen, word,
              MAX_VALUE - 1);
        boot_exit(BOOT_EXIT_USAGE);
    }
    char *value = boot_alloc(vlen + 1, 1);
    if (!value)
        panic("The machine has no memory for its command line; give it more.");
    memcpy(value, equals + 1, vlen);
    set_key(key, value);
    bool *seen = &given[key - __start_boot_keys];
    if (*seen && !repeats(key)) {
        print("command line: %.*s is given twice.\n", (int)klen, word);
        boot_exit(BOOT_EXIT_USAGE);
    }
    *seen = true;
}

RUNS_SELDOM void boot_command_line(const char *text, size_t text_len)
{
    bool given[MAX_KEYS] = {false};

    assert(key_count() <= MAX_KEYS);
    if (text_len > BOOT_COMMAND_LINE_MAX) {
        print("command line: it has %zu bytes, and at most %d are taken; use fewer or shorter "
              "words.\n",
              text_len, BOOT_COMMAND_LINE_MAX);
        boot_exit(BOOT_EXIT_USAGE);
    }
    for (const struct boot_key *key = __start_boot_keys; key < __stop_boot_keys; key++) {
        if (find_key(key->name, name_len(key)) != key)
            panic("Two parts of this image have a key '%s'; give one another name.", key->name);
        if (key->def)
            set_key(key, key->def);
    }
    while (*text) {
        size_t len = 0;
        while (*text == ' ' || *text == '\t' || *text == '\n')
            text++;
        while (text[len] && text[len] != ' ' && text[len] != '\t' && text[len] != '\n')
            len++;
        if (len > 0)
            take_word(text, len, given);
        text += len;
    }
}

static bool in_range(const struct boot_key *key, uint64_t v)
{
    return key->max == 0 || (v >= key->min && v <= key->max);
}

const char *boot_parse_u64(const struct boot_key *key, const char *text)
{
    uint64_t v;

    if (!parse_u64(text, strlen(text), UINT64_MAX, &v) || !in_range(key, v))
        return "a whole number";
    *(uint64_t *)key->dst = v;
    return NULL;
}

const char *boot_parse_size(const struct boot_key *key, const char *text)
{
    static const char expected[] = "a size in bytes such as 65536, 64K, 16M or 1G";
    size_t len = strlen(text);
    unsigned shift = 0;
    uint64_t v;

    if (len > 0) {
        char unit = text[len - 1];
        shift = unit == 'k' || unit == 'K' ? 10 : unit == 'm' || unit == 'M' ? 20 : 0;
        shift = unit == 'g' || unit == 'G' ? 30 : shift;
    }
    if (!parse_u64(text, len - (shift > 0), UINT64_MAX >> shift, &v) || !in_range(key, v << shift))
        return expected;
    *(uint64_t *)key->dst = v << shift;
    return NULL;
}

const char *boot_parse_bool(const struct boot_key *key, const char *text)
{
    bool on = strcmp(text, "on") == 0;

    if (!on && strcmp(text, "off") != 0)
        return "on or off";
    *(bool *)key->dst = on;
    return NULL;
}

const char *boot_parse_string(const struct boot_key *key, const char *text)
{
    *(const char **)key->dst = text;
    return NULL;
}
