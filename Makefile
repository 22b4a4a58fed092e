# SPDX-License-Identifier: BSD-2-Clause
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
# An app in src/apps may have an app.mk that sets APP.small: its files that are made small, not fast.
include $(wildcard $(APPS:%=src/apps/%/app.mk))

# APP may be the path of a folder anywhere: what has a slash in it. The app's name is the folder's.
app_path := $(if $(findstring /,$(APP)),$(patsubst %/,%,$(APP)))
app_name := $(notdir $(if $(app_path),$(abspath $(app_path)),$(APP)))
app_folder = $(if $(and $(app_path),$(filter $(app_name),$(1))),$(app_path),src/apps/$(1))

# A platform's plat.mk sets: P.dirs (folders of src/boot), P.also, P.cflags, P.ldflags,
# P.link_deps, P.header (a header file that its package brings) and P.package.
have_headers = $(or $(if $(value $(1).header),,yes),$(wildcard $(value $(1).header)))
PLATS_READY := $(foreach p,$(PLATS),$(if $(call have_headers,$(p)),$(p)))

APP_LIST := $(if $(APP),$(app_name),$(APPS))
PLAT_LIST := $(if $(PLAT),$(PLAT),$(PLATS_READY))

# What the boot line tells: the version, and the commit where there is git.
COMMIT := $(shell git describe --always --dirty --exclude '*' 2>/dev/null)
version := $(strip $(file <VERSION))$(if $(COMMIT), ($(COMMIT)))

# --- say what is wrong before anything fails ------------------------------------------------------
# What of a path make or the shell takes for something else: all but these characters.
letters := a b c d e f g h i j k l m n o p q r s t u v w x y z
path_chars := $(letters) A B C D E F G H I J K L M N O P Q R S T U V W X Y Z 0 1 2 3 4 5 6 7 8 9 . _ + ~ / -
strange := $(subst $() ,_space_,$(value APP))
$(foreach c,$(path_chars),$(eval strange := $$(subst $c,,$$(strange))))
app_problem = $(or $(if $(findstring $() ,$(value APP)),has a space in it),$(if \
	$(strange),has '$(strange)' in it))
define check_path
$(if $(app_problem),$(error APP='$(value APP)' $(app_problem)$(comma) which make or the shell takes for \
	something else. Rename the folder: letters$(comma) digits and . _ + ~ -))
$(if $(wildcard $(app_path)/.),,$(error There is no folder '$(APP)'. APP is the path of an app's folder$(comma) \
	or one of: $(APPS)))
$(if $(wildcard $(app_path)/*.c),,$(error '$(APP)' has no C file. An app is a folder with an \
	app_main: docs/writing-an-app.md))
$(if $(and $(filter $(app_name:.unit=),$(APPS)),$(filter-out $(realpath src/apps/$(app_name)),$(realpath \
	$(app_path)))),$(error src/apps has an app '$(app_name:.unit=)' already$(comma) whose programs '$(APP)' would \
	replace in $(BUILD). Give the folder another name))
endef
comma := ,
NO_TOOLS_NEEDED := help clean version
ifneq ($(filter-out $(NO_TOOLS_NEEDED),$(or $(MAKECMDGOALS),all)),)
ifneq ($(app_path),)
$(check_path)
else ifneq ($(filter-out $(APPS),$(APP)),)
$(error There is no app '$(APP)'. APP is the path of an app's folder, with a slash in it, or one of: $(APPS))
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
lib_files := $(sort $(wildcard src/boot/*.c src/boot/*/*.c src/boot/*/*.S src/netbuf/*.c \
	src/netdev/*.c src/netdev/*/*.c))
test_names := %_test.c $(foreach p,$(PLATS),%_test_$(p).c)
app_files = $(sort $(wildcard $(call app_folder,$(1))/*.c))
# Is a file of this platform? Not if it stands in a folder of another one, or is named after one; a
# plat.mk may name single files of another one's folder that are built for it, too (P.also).
plat_folders := $(sort $(foreach p,$(PLATS),$($(p).dirs)))
other_folders = $(foreach d,$(filter-out $($(1).dirs),$(plat_folders)),src/boot/$(d)/%)
other_names = $(foreach p,$(filter-out $(1),$(PLATS)),%_$(p).c %_$(p).S)
of_plat = $(filter $($(1).also),$(2)) \
	$(filter-out $($(1).also) $(call other_folders,$(1)) $(call other_names,$(1)),$(2))
lib_sources = $(call of_plat,$(1),$(filter-out $(test_names) $(unit_main),$(lib_files)))
unit_main := src/boot/unit_main.c
lib_tests = $(call of_plat,$(1),$(filter $(test_names),$(lib_files)))
app_sources = $(call of_plat,$(1),$(filter-out $(test_names),$(call app_files,$(2))))
app_tests = $(call of_plat,$(1),$(filter $(test_names),$(call app_files,$(2))))
# An app that lives elsewhere has its objects in obj-P/elsewhere/NAME.
objects = $(patsubst src/%,$(BUILD)/obj-$(1)/%.o,$(if $(app_path),$(patsubst \
	$(app_path)/%,src/elsewhere/$(app_name)/%,$(2)),$(2)))

# --- rules for each platform ----------------------------------------------------------------------
# Apps are made for speed, but for what an app.mk names. Of what lies below them only the files through
# which packets go are: memcpy and its kin, bursts and checksums, a packet's way through the IP layer,
# the end of a loop's turn. All else is made small; -Oz isn't for that, as it starts in more instructions.
fast := src/boot/pvh/string.c $(addprefix src/netbuf/,checksum.c inet.c inet_frame.c ipv6.c pool.c) \
	$(addprefix src/netdev/,idle.c loop.c netdev_app.c) $(filter src/netbuf/inet6% src/netdev/tap/% \
	%_burst.c %_intr.c %_rx.c %_tx.c %/netfront_csum.c,$(lib_files))
small := $(strip $(filter-out $(fast),$(lib_files)) \
	$(foreach a,$(APPS),$(addprefix src/apps/$(a)/,$($(a).small))))
# Without jump tables, which take 8 bytes a case.
small_cflags := -Os -fno-jump-tables
# P.general_regs names the files that run in ring 0 before the processor is set up, which may use
# general registers only.
# All stacks are guarded, strongly where strangers' packets are read. Below that -fstack-protector
# guards functions with arrays of bytes, and none that only has a number's address taken.
file_cflags = $(if $(filter $($(1).general_regs),$(2)),-mgeneral-regs-only) \
	$(if $(filter $(small) $(test_names),$(2)),$(small_cflags)) \
	$(if $(filter src/boot/% src/netdev/%,$(2)),-fstack-protector)

# Writes the text $(2) to the file $(1) if it has another one, so that what depends on it is made
# again whenever it changes.
written = mkdir -p $(dir $(1)); echo '$(2)' | cmp -s - $(1) || echo '$(2)' > $(1)

# main.c.unit.o: an app's main.c for its unit tests.
define plat_rules
$(BUILD)/obj-$(1)/flags: FORCE
	@$$(call written,$$@,$(CC) $(CFLAGS) $($(1).cflags) $(small_cflags) $(small) $(LDFLAGS) $($(1).ldflags))
$(BUILD)/obj-$(1)/%.c.o: src/%.c $(BUILD)/obj-$(1)/flags
	@mkdir -p $$(@D)
	$(Q)$(CC) $(CFLAGS) $($(1).cflags) $$(call file_cflags,$(1),$$<) -MMD -MP -c -o $$@ $$<
$(BUILD)/obj-$(1)/%.c.unit.o: src/%.c $(BUILD)/obj-$(1)/flags
	@mkdir -p $$(@D)
	$(Q)$(CC) $(CFLAGS) $($(1).cflags) -Dapp_main=app_main_of_the_app -MMD -MP -c -o $$@ $$<
$(BUILD)/obj-$(1)/%.S.o: src/%.S $(BUILD)/obj-$(1)/flags
	@mkdir -p $$(@D)
	$(Q)$(CC) $(CFLAGS) $($(1).cflags) -MMD -MP -c -o $$@ $$<
$(BUILD)/obj-$(1)/lib.a: $(call objects,$(1),$(call lib_sources,$(1)))
	$(Q)rm -f $$@; $(AR) rcsD $$@ $$^
$(BUILD)/obj-$(1)/lib-tests.a: $(call objects,$(1),$(call lib_tests,$(1)))
	$(Q)rm -f $$@; $(AR) rcsD $$@ $$^
endef

# --- rules for each app on it: the image, and the program that runs the app's unit tests -----------
# $(1) is the program's name, $(2) the platform, $(3) its objects and archives.
define program_rules
$(BUILD)/obj-$(2)/name-$(1).c: FORCE
	@$$(call written,$$@,const char boot_app[] = "$(1)"; const char boot_version[] = "$(version)";)
$(BUILD)/obj-$(2)/name-$(1).o: $(BUILD)/obj-$(2)/name-$(1).c $(BUILD)/obj-$(2)/flags
	$(Q)$(CC) $(CFLAGS) $($(2).cflags) -c -o $$@ $$<
$(BUILD)/$(1)-$(2)/$(1): $(3) $(BUILD)/obj-$(2)/name-$(1).o $(BUILD)/obj-$(2)/lib.a \
		$($(2).link_deps)
	@mkdir -p $$(@D); echo "  LINK $$@"
	$(Q)$(CC) $(CFLAGS) $($(2).cflags) $(LDFLAGS) $($(2).ldflags) -o $$@ $$(filter %.o %.a,$$^)
endef

# A unit test program has its app's main.c with app_main under another name, so that it can be
# tested, too: app_main is boot/unit_main.c's there.
# selftest has the tests of everything below the apps.
define app_rules
$(call program_rules,$(1),$(2),$(call objects,$(2),$(call app_sources,$(2),$(1)) \
	$(if $(filter selftest,$(1)),$(call lib_tests,$(2)))))
$(call program_rules,$(1).unit,$(2),$(patsubst %/main.c.o,%/main.c.unit.o,$(call objects,$(2),\
	$(call app_sources,$(2),$(1)) $(call app_tests,$(2),$(1)) $(unit_main))) $(BUILD)/obj-$(2)/lib-tests.a)
endef

# An app that lives elsewhere is compiled anew when another folder of that name is built. Warnings
# are shown to its owner and stop nothing.
elsewhere_cflags := $(filter-out -Werror -Wmissing-prototypes,$(CFLAGS))
define elsewhere_rules
$(BUILD)/obj-$(1)/elsewhere/$(app_name)/path: FORCE
	@$$(call written,$$@,$(abspath $(app_path)))
$(BUILD)/obj-$(1)/elsewhere/$(app_name)/%.c.o: $(app_path)/%.c $(BUILD)/obj-$(1)/flags \
		$(BUILD)/obj-$(1)/elsewhere/$(app_name)/path
	$(Q)$(CC) $(elsewhere_cflags) $($(1).cflags) -MMD -MP -c -o $$@ $$<
$(BUILD)/obj-$(1)/elsewhere/$(app_name)/%.c.unit.o: $(app_path)/%.c $(BUILD)/obj-$(1)/flags \
		$(BUILD)/obj-$(1)/elsewhere/$(app_name)/path
	$(Q)$(CC) $(elsewhere_cflags) $($(1).cflags) -Dapp_main=app_main_of_the_app -MMD -MP -c -o $$@ $$<
endef

apps_known := $(sort $(APPS) $(app_name))
apps_tested := $(foreach a,$(APP_LIST),$(if $(strip $(call app_tests,linux,$(a))),$(a)))
unit_programs = $(foreach a,$(filter-out selftest,$(apps_tested)),$(BUILD)/$(a).unit-$(1)/$(a).unit) \
	$(if $(filter selftest,$(APP_LIST)),$(BUILD)/selftest-$(1)/selftest)
$(foreach p,$(PLATS),$(eval $(call plat_rules,$(p))))
$(if $(app_path),$(foreach p,$(PLATS),$(eval $(call elsewhere_rules,$(p)))))
$(foreach p,$(PLATS),$(foreach a,$(apps_known),$(eval $(call app_rules,$(a),$(p)))))

# --- programs of bench/: processes of this host, with libc ----------------------------------------
# DPDK's flags are asked for when they are needed; its headers aren't ours to keep free of warnings.
dpdk_cflags = $$(pkg-config --cflags libdpdk | sed 's/-I/-isystem /g')
dpdk_libs = $$(pkg-config --libs libdpdk)
bench_programs := $(BUILD)/bench/kvload $(BUILD)/bench/udpkv_sockets $(BUILD)/bench/udpkv_dpdk \
	$(BUILD)/bench/distance
BENCH_CFLAGS := -std=gnu11 -O3 -march=native -g -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes

# Without libdpdk-dev kvload knows kernel sockets only.
kvload_sources := $(filter-out %_test.c %/port_dpdk.c %/vhost.c %/port_dpdk_none.c,$(wildcard bench/kvload/*.c))
# Moved into its place when it is whole, as tests that run side by side each make it.
$(BUILD)/bench/kvload: $(wildcard bench/kvload/*.[ch]) $(lastword $(MAKEFILE_LIST))
	@mkdir -p $(@D); echo "  LINK $@"
	$(Q)if pkg-config --exists libdpdk 2>/dev/null; \
	then $(CC) $(BENCH_CFLAGS) $(dpdk_cflags) -o $@.$$$$ $(kvload_sources) \
		bench/kvload/port_dpdk.c bench/kvload/vhost.c $(dpdk_libs) -lm -pthread; \
	else $(CC) $(BENCH_CFLAGS) -o $@.$$$$ $(kvload_sources) bench/kvload/port_dpdk_none.c -lm -pthread; \
	fi && mv $@.$$$$ $@

$(BUILD)/bench/distance: bench/distance.c
	@mkdir -p $(@D); echo "  LINK $@"
	$(Q)$(CC) $(BENCH_CFLAGS) -o $@ $< -pthread

# udpkv's own objects, as an archive, so that a peer takes of them what it needs.
$(BUILD)/bench/udpkv.a: $(filter-out %/main.c.o,$(call objects,linux,$(call app_sources,linux,udpkv)))
	@mkdir -p $(@D); rm -f $@; $(AR) rcsD $@ $^
peer_parts := bench/peers/udpkv_peer.c $(BUILD)/obj-linux/name-udpkv.o $(BUILD)/bench/udpkv.a \
	$(BUILD)/obj-linux/lib.a
$(BUILD)/bench/udpkv_sockets: bench/peers/udpkv_sockets.c $(peer_parts) bench/peers/udpkv_peer.h
	@echo "  LINK $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -no-pie -o $@ $(filter %.c %.o %.a,$^)
$(BUILD)/bench/udpkv_dpdk: bench/peers/udpkv_dpdk.c $(peer_parts) bench/peers/udpkv_peer.h
	@echo "  LINK $@"
	$(Q)$(CC) $(CFLAGS) -march=native $(dpdk_cflags) $(LDFLAGS) -no-pie -o $@ \
		$(filter %.c %.o %.a,$^) $(dpdk_libs)


.PHONY: FORCE all units unit version help clean run debug test check size lines bench-pktgen bench-boot bench-xen \
	bench-latency bench-driver bench-udpkv kvload bench-programs
kvload: $(BUILD)/bench/kvload
bench-programs: $(bench_programs)
FORCE:

all: $(foreach p,$(PLAT_LIST),$(foreach a,$(APP_LIST),$(BUILD)/$(a)-$(p)/$(a)))
	$(if $(PLAT),,$(foreach p,$(filter-out $(PLATS_READY),$(PLATS)),@echo \
		"  left out: $(p), which needs the package $($(p).package)"))

# The programs that run unit tests: each app's apart from the others', selftest for all below the apps.
units: $(foreach p,$(PLAT_LIST),$(call unit_programs,$(p)))

unit: $(call unit_programs,linux)
	$(if $(strip $(call unit_programs,linux)),,$(error $(APP) has no unit tests: files named x_test.c beside its code))
	@ran=; for program in $^; do $$program only=$(ONLY); \
		case $$? in 0) ran=1;; 2) ;; *) exit 1;; esac; done; [ "$$ran" ]

version:
	@echo '$(version)'

help:
	@echo 'make                       every app for every platform whose headers are installed'
	@echo 'make APP=udpkv PLAT=kvm    one: build/udpkv-kvm/udpkv. Either word alone works, too'
	@echo 'make APP=/a/folder PLAT=kvm   an app that lives anywhere: docs/writing-an-app.md'
	@echo 'make unit  [APP= ONLY=]    build and run unit tests, as host processes'
	@echo 'make run   [APP= PLAT=]    build, start and try an image (the same as ./run)'
	@echo 'make debug [APP= KEYS=]    an image under QEMU that waits for gdb, and gdb on it'
	@echo '   both also take ARGS="--port=HOST:GUEST --nics=N -- QEMU ARGUMENTS" and KEYS="key=value ..."'
	@echo 'make test                  all tests (the same as ./test)'
	@echo 'make bench-pktgen          packet rates beside DPDK, into build/results (QUICK=1: under 50 s)'
	@echo 'make bench-boot            start-up (time, instructions), size, least memory [PEER=image PEER_ARGS=...]'
	@echo 'make bench-udpkv           the key-value table, into build/results (QUICK=1: one load)'
	@echo 'make kvload                build/bench/kvload, the load generator for memcached over UDP'
	@echo 'make bench-latency         pings and idle cost beside a Linux guest, into build/results (root)'
	@echo 'make bench-xen             beside Linux as domains of a Xen in QEMU, into build/results'
	@echo 'make check [APP=/a/folder] rules of the source: includes, names, lengths, format, cppcheck'
	@echo 'make bench-driver          cycles a packet of the virtio-net driver alone'
	@echo 'make size  [APP= PLAT=]    bytes by section and by source file; stripped size'
	@echo 'make lines APP= PLAT= AT="0x.. 0x.."   source lines of a backtrace'
	@echo 'make compile_commands.json for editors'
	@echo 'make version               the version, and the commit where there is git'
	@echo 'make clean                 removes what was built'
	@echo
	@echo 'CC=clang, V=1 (show commands), SAN=1 (sanitizers, PLAT=linux), BUILD=folder'
	@echo 'Apps:      $(APPS)'
	@echo 'Platforms: $(PLATS)'

run:
	@./run $(strip $(or $(APP),udpkv) $(or $(PLAT),kvm) $(KEYS) $(ARGS))

test:
	@./test

# bench/README.md tells how to read what these write. QUICK, PEER and PEER_ARGS reach them as
# variables of the environment.
bench-pktgen bench-boot bench-udpkv bench-latency bench-xen: bench-%:
	@bench/$*

debug: $(BUILD)/$(or $(app_name),udpkv)-kvm/$(or $(app_name),udpkv)
	@tests/debug $(strip $< $(KEYS) $(ARGS))

check:
	@tests/check $(app_path)

bench-driver: $(BUILD)/driverbench-linux/driverbench
	@bench/driver $<

# A backtrace holds return addresses: the call is the instruction before.
lines: $(if $(and $(APP),$(PLAT),$(AT)),$(BUILD)/$(app_name)-$(PLAT)/$(app_name))
	$(if $(and $(APP),$(PLAT),$(AT)),,$(error Say of what: make lines APP=udpkv PLAT=kvm AT="0x100384 0x100672"))
	@addr2line -a -f -p -i -e $< $(AT)

size: all
	@$(foreach p,$(PLAT_LIST),$(foreach a,$(APP_LIST),tests/size $(BUILD)/$(a)-$(p)/$(a);))

# For every source file how it is compiled, for clangd and its kin; files of one platform as for it.
compile_commands.json: FORCE
	$(file >$@.tmp,[)
	$(foreach p,$(PLATS),$(foreach s,$(call of_plat,$(p),$(filter %.c,$(lib_files) $(foreach a,$(APP_LIST),$(call app_files,$(a))))),$(file \
		>>$@.tmp,{"directory":"$(CURDIR)"$(comma)"file":"$(s)"$(comma)"command":"$(CC) $(CFLAGS) $($(p).cflags) -c $(s)"}$(comma))))
	@sed '$$ s/,$$//' $@.tmp > $@ && echo ']' >> $@ && rm $@.tmp
	@echo "  wrote $@"

clean:
	rm -rf build compile_commands.json .gdbinit

# What is known of an app that lives elsewhere holds only for the folder that it was learnt from.
-include $(shell find $(BUILD)/obj-* $(BUILD)/bench -type f -name '*.d' -not -path '*/obj-*/elsewhere/*' 2>/dev/null) \
	$(foreach p,$(PLATS),$(if $(filter $(abspath $(app_path)),$(file \
	<$(BUILD)/obj-$(p)/elsewhere/$(app_name)/path)),$(wildcard $(BUILD)/obj-$(p)/elsewhere/$(app_name)/*.d)))
