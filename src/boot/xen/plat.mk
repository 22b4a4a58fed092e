# SPDX-License-Identifier: BSD-2-Clause
# xen: an image that `xl create` starts as a PVH domain. Compiled and linked as for kvm.
xen.dirs := pvh xen
xen.header := /usr/include/xen/arch-x86/hvm/start_info.h
xen.package := libxen-dev
xen.cflags = $(kvm.cflags)
xen.ldflags = $(kvm.ldflags)
xen.link_deps = $(kvm.link_deps)
xen.general_regs := src/boot/%
