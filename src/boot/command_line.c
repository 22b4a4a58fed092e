/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * command_line.c - sets the keys of this image from `key=value` words. Words that are Linux' are
 * passed over, as VMMs and boot loaders add some by themselves; any other word that isn't a key
 * stops the image.
 *
 * The linker gathers every BOOT_KEY of the files that are linked in into the section boot_keys.
 */
#include "boot/boot.h"
#include "boot/words.h"

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
        if (strncmp(key->name, word, len) == 0 && name_len(key) == len)
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

/* How far a name is from a key's, or from what stands behind the key's last dot: net.ip is as near
 * to `ip` as to itself. */
static unsigned key_distance(const struct boot_key *key, const struct word *word)
{
    const char *part = key->name, *end = key->name + name_len(key);
    unsigned whole = word_distance(word->name, word->name_len, part, name_len(key));

    for (const char *at = part; at < end; at++)
        if (*at == '.')
            part = at + 1;
    return MIN(whole, word_distance(word->name, word->name_len, part, (size_t)(end - part)));
}

/* Names the keys that the word most likely means: with one letter in three wrong at most. */
RUNS_SELDOM static void print_nearest(const struct word *word)
{
    unsigned nearest = (unsigned)word->name_len / 3, count = 0;

    for (size_t i = 0; i < key_count(); i++)
        nearest = MIN(nearest, key_distance(&__start_boot_keys[i], word));
    for (size_t i = 0; i < key_count(); i++) {
        const struct boot_key *key = &__start_boot_keys[i];
        if (word->name_len > 0 && key_distance(key, word) == nearest)
            print("%s %.*s", count++ == 0 ? " The nearest:" : "", (int)name_len(key), key->name);
    }
    if (count > 0)
        print(".");
}

/* A word that is neither a key of ours with a value nor Linux'. */
_Noreturn static void refuse_word(const struct word *word)
{
    int len = (int)word->name_len;

    if (word->value)
        print("command line: there is no key '%.*s' in this image.", len, word->name);
    else
        print("command line: '%.*s' isn't of the form key=value.", len, word->name);
    print_nearest(word);
    if (word->value) {
        print(" Keys: help");
        for (size_t i = 0; i < key_count(); i++)
            print(" %.*s", (int)name_len(&__start_boot_keys[i]), __start_boot_keys[i].name);
        print(".");
    }
    print(" The word help alone explains the keys.\n");
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

/* Values are copied to memory of our own, as the keys keep pointers to them. */
static void take_value(const struct boot_key *key, const struct word *word, bool *seen)
{
    if (word->value_len >= MAX_VALUE) {
        print("command line: the value of %.*s is longer than %d bytes.\n", (int)word->name_len,
              word->name, MAX_VALUE - 1);
        boot_exit(BOOT_EXIT_USAGE);
    }
    char *value = boot_alloc(word->value_len + 1, 1);
    if (!value)
        boot_misconfigured("the machine has no memory for its command line; give it more.");
    memcpy(value, word->value, word->value_len);
    set_key(key, value);
    if (*seen && !repeats(key)) {
        print("command line: %.*s is given twice.\n", (int)word->name_len, word->name);
        boot_exit(BOOT_EXIT_USAGE);
    }
    *seen = true;
}

/* Is the word one to pass over: Linux', and no key of this image? */
static bool is_foreign(const struct word *word)
{
    bool ours = word->value && find_key(word->name, word->name_len);

    return !ours && word_is_linux(word);
}

/* One line names what was passed over, so that nobody believes that it has done something. */
RUNS_SELDOM static void print_foreign(const char *text)
{
    print("command line: passed over, as these words are for Linux:");
    for (struct word word; word_next(&text, &word);)
        if (is_foreign(&word))
            print(" %.*s%s%.*s", (int)word.name_len, word.name, word.value ? "=" : "",
                  (int)word.value_len, word.value);
    print(".\n");
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
    const char *left = text;
    bool foreign = false;
    for (struct word word; word_next(&left, &word);) {
        const struct boot_key *key = find_key(word.name, word.name_len);
        if (!word.value && word.name_len == 4 && strncmp(word.name, "help", 4) == 0)
            help();
        if (is_foreign(&word))
            foreign = true;
        else if (key && word.value)
            take_value(key, &word, &given[key - __start_boot_keys]);
        else
            refuse_word(&word);
    }
    if (foreign)
        print_foreign(text);
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
