# SPDX-License-Identifier: BSD-2-Clause
# What no packet for a service runs; the Makefile tells what for.
balancer.small := control.c health.c
