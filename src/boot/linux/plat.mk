# SPDX-License-Identifier: BSD-2-Clause
# linux: a host process, for unit tests, sanitizers, debuggers and fuzzers. SAN=1 adds ASan and UBSan,
# and takes -O1, with which checked code compiles twice as fast and traces read better.
linux.dirs := linux
# What needs no Xen and no machine of the other platforms is tested here, where there are sanitizers.
linux.also := src/boot/xen/store_ring% src/boot/xen/balloon% src/boot/kvm/acpi_aml% \
	src/boot/kvm/acpi_tables%
linux.cflags := -D__XEN_INTERFACE_VERSION__=0x00040e00 \
	$(if $(SAN),-O1 -fsanitize=address -fsanitize=undefined -fno-sanitize-recover=all)
linux.ldflags := -no-pie
linux.link_deps :=
linux.header := /usr/include/xen/io/xs_wire.h
linux.package := libxen-dev
