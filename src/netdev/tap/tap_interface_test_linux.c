/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests of the names that a tap interface may have. */
#include "boot/test.h"
#include "netdev/tap/tap.h"

TEST(tap_names)
{
    static const char *const bad[] = {"",      ".",   "..",  "sixteen-letters-", "a/b",
                                      "tap%d", "a b", "a:0", "\xc3\xa4",         "a\x7f"};

    CHECK(!tap_check_name("ring0") && !tap_check_name("a") && !tap_check_name("fifteen-letters"));
    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(tap_check_name(bad[i]));
}
