# SPDX-License-Identifier: BSD-2-Clause
# What neither a get nor a set in text or binary runs for its every packet; the Makefile tells what for.
udpkv.small := base64.c device_stats.c meta.c meta_debug.c meta_flags.c server_stats.c text_stats.c
