# Ringloop's build. `make help` lists what it does.
#
# There are no lists in here: a folder in src/apps is an app, a folder in src/boot with a plat.mk is
# a platform. A file x_<plat>.c, and a folder named after a platform or in a plat.mk's `dirs`, is
# built for that platform alone; everything else is built for all. Unit tests are x_test.c, or
# x_test_<plat>.c.

MAKEFLAGS += --no-builtin-rules --no-builtin-variables
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all
SHELL := /bin/bash

ifneq ($(origin CC),command line)
ifneq ($(origin CC),environment)
CC := gcc
endif
endif
AR := ar
BUILD ?= build
Q := $(if $(V),,@)

# --- what there is --------------------------------------------------------------------------------
APPS  := $(sort $(notdir $(patsubst %/,%,$(wildcard src/apps/*/))))
PLATS := $(sort $(patsubst src/boot/%/plat.mk,%,$(wildcard src/boot/*/plat.mk)))
include $(PLATS:%=src/boot/%/plat.mk)

# A platform's plat.mk sets: P.dirs (folders of src/boot), P.cflags, P.ldflags, P.link_deps,
# P.header (a header file that its package brings) and P.package.
have_headers = $(or $(if $(value $(1).header),,yes),$(wildcard $(value $(1).header)))
PLATS_READY := $(foreach p,$(PLATS),$(if $(call have_headers,$(p)),$(p)))

APP_LIST := $(if $(APP),$(APP),$(APPS))
PLAT_LIST := $(if $(PLAT),$(PLAT),$(PLATS_READY))

# --- say what is wrong before anything fails ------------------------------------------------------
NO_TOOLS_NEEDED := help clean
ifneq ($(filter-out $(NO_TOOLS_NEEDED),$(or $(MAKECMDGOALS),all)),)
ifneq ($(filter-out $(APPS),$(APP)),)
$(error There is no app '$(APP)'. Apps: $(APPS))
endif
ifneq ($(filter-out $(PLATS),$(PLAT)),)
$(error There is no platform '$(PLAT)'. Platforms: $(PLATS))
endif
compiler_package = $(if $(findstring clang,$(CC)),clang,gcc)
ifeq ($(shell command -v $(firstword $(CC))),)
$(error There is no compiler '$(CC)'. Install it: apt-get install $(compiler_package))
endif
ifeq ($(shell command -v $(AR)),)
$(error There is no '$(AR)'. Install it: apt-get install binutils)
endif
missing_header = $(if $(wildcard $(1)),,$(error $(1) is missing. Install it: apt-get install $(2)))
$(call missing_header,/usr/include/xxhash.h,libxxhash-dev)
$(call missing_header,/usr/include/linux/virtio_net.h,linux-libc-dev)
$(foreach p,$(PLAT),$(if $(call have_headers,$(p)),,\
	$(error $($(p).header) is missing. Install it: apt-get install $($(p).package))))
endif

# --- flags ----------------------------------------------------------------------------------------
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla \
	-Wpointer-arith -Wwrite-strings -Wold-style-definition
CFLAGS := -std=gnu11 -O2 -g $(WARNINGS) -fno-strict-aliasing -fno-common -fno-omit-frame-pointer \
	-fstack-protector-strong -ffunction-sections -fdata-sections -fno-pie \
	-ffile-prefix-map=$(CURDIR)=. -Isrc
LDFLAGS := -Wl,--gc-sections -Wl,-z,noexecstack -Wl,--build-id=none

# --- sources --------------------------------------------------------------------------------------
all_sources := $(sort $(wildcard src/boot/*.c src/boot/*/*.c src/boot/*/*.S src/netbuf/*.c \
	src/netdev/*.c src/apps/*/*.c))
tests := $(filter %_test.c $(foreach p,$(PLATS),%_test_$(p).c),$(all_sources))
app_sources = $(filter-out $(tests),$(filter src/apps/$(1)/%,$(all_sources)))
# Is a file of this platform? Not if it stands in a folder of another one, or is named after one.
plat_folders := $(sort $(foreach p,$(PLATS),$($(p).dirs)))
other_folders = $(foreach d,$(filter-out $($(1).dirs),$(plat_folders)),src/boot/$(d)/%)
other_names = $(foreach p,$(filter-out $(1),$(PLATS)),%_$(p).c %_$(p).S)
of_plat = $(filter-out $(call other_folders,$(1)) $(call other_names,$(1)),$(2))
lib_sources = $(call of_plat,$(1),$(filter-out src/apps/% $(tests),$(all_sources)))
objects = $(patsubst src/%,$(BUILD)/obj-$(1)/%.o,$(2))

# selftest runs every unit test; it links the other apps' code except their main.c.
selftest_extra = $(call of_plat,$(1),$(tests) \
	$(filter-out %/main.c,$(foreach a,$(filter-out selftest,$(APPS)),$(call app_sources,$(a)))))

# --- rules for each platform, then for each app on it ---------------------------------------------
define plat_rules
$(BUILD)/obj-$(1)/flags: FORCE
	@mkdir -p $$(@D); echo '$(CC) $(CFLAGS) $($(1).cflags) $(file_cflags) $(hot) $(LDFLAGS) $($(1).ldflags)' | \
		cmp -s - $$@ || echo '$(CC) $(CFLAGS) $($(1).cflags) $(file_cflags) $(hot) $(LDFLAGS) $($(1).ldflags)' > $$@
$(BUILD)/obj-$(1)/%.c.o: src/%.c $(BUILD)/obj-$(1)/flags
	@mkdir -p $$(@D)
	$(Q)$(CC) $(CFLAGS) $($(1).cflags) $$(call file_cflags,$(1),$$<) -MMD -MP -c -o $$@ $$<
$(BUILD)/obj-$(1)/%.S.o: src/%.S $(BUILD)/obj-$(1)/flags
	@mkdir -p $$(@D)
	$(Q)$(CC) $(CFLAGS) $($(1).cflags) -MMD -MP -c -o $$@ $$<
$(BUILD)/obj-$(1)/lib.a: $(call objects,$(1),$(call lib_sources,$(1)))
	$(Q)rm -f $$@; $(AR) rcsD $$@ $$^
endef

# The folder of the app gives the boot line its name.
define app_rules
$(BUILD)/obj-$(2)/app-$(1).c:
	@mkdir -p $$(@D)
	@echo '#include "boot/boot.h"' > $$@; echo 'const char boot_app[] = "$(1)";' >> $$@
$(BUILD)/obj-$(2)/app-$(1).o: $(BUILD)/obj-$(2)/app-$(1).c $(BUILD)/obj-$(2)/flags
	$(Q)$(CC) $(CFLAGS) $($(2).cflags) -c -o $$@ $$<
$(BUILD)/$(1)-$(2)/$(1): $(call objects,$(2),$(call app_sources,$(1)) \
		$(if $(filter selftest,$(1)),$(call selftest_extra,$(2)))) \
		$(BUILD)/obj-$(2)/app-$(1).o $(BUILD)/obj-$(2)/lib.a $($(2).link_deps)
	@mkdir -p $$(@D); echo "  LINK $$@"
	$(Q)$(CC) $(CFLAGS) $($(2).cflags) $(LDFLAGS) $($(2).ldflags) -o $$@ $$(filter %.o %.a,$$^)
endef

# Flags for single files: P.general_regs names the files that run in ring 0 before the processor is
# set up, which may use general registers only. What moves packets or requests is made fast, all
# else small.
hot := src/boot/pvh/string.c src/netbuf/% src/netdev/virtio_net_burst.c \
	src/netdev/netfront.c src/apps/pktgen/% src/apps/driverbench/% src/apps/selftest/% \
	$(patsubst %,src/apps/udpkv/%.c,server store index log hash line text text_item reply)
file_cflags = $(if $(filter $($(1).general_regs),$(2)),-mgeneral-regs-only) \
	$(if $(filter $(hot),$(2)),,-Os)

$(foreach p,$(PLATS),$(eval $(call plat_rules,$(p))))
$(foreach p,$(PLATS),$(foreach a,$(APPS),$(eval $(call app_rules,$(a),$(p)))))

# --- programs of bench/: processes of this host, with libc ----------------------------------------
# DPDK's flags are asked for when they are needed; its headers aren't ours to keep free of warnings.
dpdk_cflags = $$(pkg-config --cflags libdpdk | sed 's/-I/-isystem /g')
dpdk_libs = $$(pkg-config --libs libdpdk)
bench_programs := $(BUILD)/bench/kvload $(BUILD)/bench/udpkv_sockets $(BUILD)/bench/udpkv_dpdk \
	$(BUILD)/bench/distance
BENCH_CFLAGS := -std=gnu11 -O3 -march=native -g -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes

# Without libdpdk-dev kvload knows kernel sockets only.
kvload_sources := $(filter-out %_test.c %/port_dpdk.c %/port_dpdk_none.c,$(wildcard bench/kvload/*.c))
# Moved into its place when it is whole, as tests that run side by side each make it.
$(BUILD)/bench/kvload: $(wildcard bench/kvload/*.[ch]) $(lastword $(MAKEFILE_LIST))
	@mkdir -p $(@D); echo "  LINK $@"
	$(Q)if pkg-config --exists libdpdk 2>/dev/null; \
	then $(CC) $(BENCH_CFLAGS) $(dpdk_cflags) -o $@.$$$$ $(kvload_sources) bench/kvload/port_dpdk.c \
		$(dpdk_libs) -lm -pthread; \
	else $(CC) $(BENCH_CFLAGS) -o $@.$$$$ $(kvload_sources) bench/kvload/port_dpdk_none.c -lm -pthread; \
	fi && mv $@.$$$$ $@

$(BUILD)/bench/distance: bench/distance.c
	@mkdir -p $(@D); echo "  LINK $@"
	$(Q)$(CC) $(BENCH_CFLAGS) -o $@ $< -pthread

# udpkv's own objects, as an archive, so that a peer takes of them what it needs.
$(BUILD)/bench/udpkv.a: $(filter-out %/main.c.o,$(call objects,linux,$(call app_sources,udpkv)))
	@mkdir -p $(@D); rm -f $@; $(AR) rcsD $@ $^
peer_parts := bench/peers/udpkv_peer.c $(BUILD)/obj-linux/app-udpkv.o $(BUILD)/bench/udpkv.a \
	$(BUILD)/obj-linux/lib.a
$(BUILD)/bench/udpkv_sockets: bench/peers/udpkv_sockets.c $(peer_parts) bench/peers/udpkv_peer.h
	@echo "  LINK $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -no-pie -o $@ $(filter %.c %.o %.a,$^)
$(BUILD)/bench/udpkv_dpdk: bench/peers/udpkv_dpdk.c $(peer_parts) bench/peers/udpkv_peer.h
	@echo "  LINK $@"
	$(Q)$(CC) $(CFLAGS) -march=native $(dpdk_cflags) $(LDFLAGS) -no-pie -o $@ \
		$(filter %.c %.o %.a,$^) $(dpdk_libs)

.PHONY: FORCE all help clean run debug test check size lines bench-pktgen bench-boot bench-xen \
	bench-latency bench-driver bench-udpkv kvload bench-programs
kvload: $(BUILD)/bench/kvload
bench-programs: $(bench_programs)
FORCE:

all: $(foreach p,$(PLAT_LIST),$(foreach a,$(APP_LIST),$(BUILD)/$(a)-$(p)/$(a)))
	$(if $(PLAT),,$(foreach p,$(filter-out $(PLATS_READY),$(PLATS)),@echo \
		"  left out: $(p), which needs the package $($(p).package)"))

help:
	@echo 'make                       every app for every platform whose headers are installed'
	@echo 'make APP=udpkv PLAT=kvm    one: build/udpkv-kvm/udpkv. Either word alone works, too'
	@echo 'make run   [APP= PLAT=]    build, start and try an image (the same as ./run)'
	@echo 'make debug [APP= KEYS=]    an image under QEMU that waits for gdb, and gdb on it'
	@echo 'make test                  all tests (the same as ./test)'
	@echo 'make bench-pktgen          packet rates beside DPDK, into build/results (QUICK=1: under 50 s)'
	@echo 'make bench-boot            start-up, size, least memory [PEER=image PEER_ARGS=...]'
	@echo 'make bench-udpkv           the key-value table, into build/results (QUICK=1: one load)'
	@echo 'make kvload                build/bench/kvload, the load generator for memcached over UDP'
	@echo 'make bench-latency         pings and idle cost beside a Linux guest, into build/results (root)'
	@echo 'make bench-xen             beside Linux as domains of a Xen in QEMU, into build/results'
	@echo 'make check                 rules of the source: includes, lengths, format, cppcheck'
	@echo 'make bench-driver          cycles a packet of the virtio-net driver alone'
	@echo 'make size  [APP= PLAT=]    bytes by section and by source file; stripped size'
	@echo 'make lines APP= PLAT= AT="0x.. 0x.."   source lines of a backtrace'
	@echo 'make compile_commands.json for editors'
	@echo 'make clean                 removes what was built'
	@echo
	@echo 'CC=clang, V=1 (show commands), SAN=1 (sanitizers, PLAT=linux), BUILD=folder'
	@echo 'Apps:      $(APPS)'
	@echo 'Platforms: $(PLATS)'

run:
	@./run $(or $(APP),udpkv) $(or $(PLAT),kvm)

test:
	@./test

# bench/README.md tells how to read what these write. QUICK, PEER and PEER_ARGS reach them as
# variables of the environment.
bench-pktgen bench-boot bench-udpkv bench-latency bench-xen: bench-%:
	@bench/$*

debug: $(BUILD)/$(or $(APP),udpkv)-kvm/$(or $(APP),udpkv)
	@tests/debug $< $(KEYS)

check:
	@tests/check

bench-driver: $(BUILD)/driverbench-linux/driverbench
	@bench/driver $<

# A backtrace holds return addresses: the call is the instruction before.
lines: $(if $(and $(APP),$(PLAT),$(AT)),$(BUILD)/$(APP)-$(PLAT)/$(APP))
	$(if $(and $(APP),$(PLAT),$(AT)),,$(error Say of what: make lines APP=udpkv PLAT=kvm AT="0x100384 0x100672"))
	@addr2line -a -f -p -i -e $< $(AT)

size: all
	@$(foreach p,$(PLAT_LIST),$(foreach a,$(APP_LIST),tests/size $(BUILD)/$(a)-$(p)/$(a);))

# For every source file how it is compiled, for clangd and its kin; files of one platform as for it.
compile_commands.json: FORCE
	$(file >$@.tmp,[)
	$(foreach p,$(PLATS),$(foreach s,$(call of_plat,$(p),$(filter %.c,$(all_sources))),$(file \
		>>$@.tmp,{"directory":"$(CURDIR)"$(comma)"file":"$(s)"$(comma)"command":"$(CC) $(CFLAGS) $($(p).cflags) -c $(s)"}$(comma))))
	@sed '$$ s/,$$//' $@.tmp > $@ && echo ']' >> $@ && rm $@.tmp
	@echo "  wrote $@"
comma := ,

clean:
	rm -rf build compile_commands.json .gdbinit

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
