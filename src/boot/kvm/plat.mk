# SPDX-License-Identifier: BSD-2-Clause
# kvm: an image for any VMM that starts PVH images and has virtio-net: QEMU (KVM or TCG), others.
kvm.dirs := pvh kvm
kvm.also := src/boot/xen/hypercall% src/boot/xen/find% src/boot/xen/last_words%
kvm.header := /usr/include/xen/arch-x86/hvm/start_info.h
kvm.package := libxen-dev
kvm.cflags := -ffreestanding -fbuiltin -mno-red-zone -fno-pic -mcmodel=small -fcf-protection=none \
	-fno-asynchronous-unwind-tables -mstack-protector-guard=global -D__XEN_INTERFACE_VERSION__=0x00040e00
# -n: segments follow each other in the file without padding up to pages; in memory they are apart.
kvm.ldflags := -nostdlib -static -Wl,-T,src/boot/pvh/image.ld -Wl,-z,max-page-size=4096 -Wl,-n
kvm.link_deps := src/boot/pvh/image.ld
# This code also runs in ring 0, where it may be emulated, and in trap handlers; and an address is
# parsed before the first instruction in ring 3.
kvm.general_regs := src/boot/% src/netbuf/ipv4.c
