# keybroker: everything is built out of tree in build/, from one makefile, without recursion.
#
#   sources    found by wildcard; nothing to register here for a new .c file
#   variants   plain (build/…), asan (build/asan/…), tsan (build/tsan/…), cov (build/cov/…), and two
#              that only compile, for lint; each has its objects in build/obj/VARIANT/
#   knobs      CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR, LIBDIR, WERROR=1, V=1 (show commands),
#              T='recovery board' (run only tests/*/test_recovery and test_board),
#              S='read failover' (measure only these sections of the bench)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2) # a -j on the command line wins
SHELL := /bin/sh

ifeq ($(origin CC),default)
CC := gcc
endif
Q := $(if $(filter 1,$(V)),,@)
WERROR ?= $(if $(filter true 1,$(CI)),1,0)

VERSION := $(shell sed -n 's/^\#define KB_VERSION "\(.*\)"/\1/p' include/keybroker.h)
SOMAJOR := $(firstword $(subst ., ,$(VERSION)))
SONAME := libkeybroker.so.$(SOMAJOR)

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
SBINDIR ?= $(PREFIX)/sbin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
UNITDIR ?= $(PREFIX)/lib/systemd/system

empty :=
space := $(empty) $(empty)

# ---- what there is ---------------------------------------------------------------------------

BROKER_SRC := $(wildcard broker/*.c)
CONSOLE_SRC := $(wildcard broker/console/*.c)
CLIENT_SRC := $(wildcard client/*.c)
CLI_SRC := $(wildcard client/cli/*.c)
WORKER_SRC := $(wildcard client/examples/*.c)
DEMO_SRC := $(wildcard bench/demo/*.c)
# A file called *_main.c in tests/support is a program of its own, or brings a main of its own.
# PRELOAD_SRC are shared objects that tests preload into brokers; standin_*.c are the stand-in's.
STANDIN_SRC := tests/support/vendor_standin_main.c $(wildcard tests/support/standin_*.c)
PRELOAD_SRC := $(addprefix tests/support/,slow_disk.c step_clock.c short_memory.c)
COUNTED_SRC := $(wildcard tests/support/counted_*.c) # for the cov variant's programs only
SUPPORT_SRC := $(filter-out %_main.c $(PRELOAD_SRC) $(STANDIN_SRC) $(COUNTED_SRC),$(wildcard tests/support/*.c))
TEST_SRC := $(wildcard tests/unit/test_*.c tests/process/test_*.c)
# bench_NAME.c is a program's main, everything else there is common to them.
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_COMMON := $(filter-out $(FUZZ_SRC),$(wildcard tests/fuzz/*.c))
BENCH_MAIN := $(wildcard bench/bench_*.c)
BENCH_COMMON := $(filter-out $(BENCH_MAIN),$(wildcard bench/*.c))
# Tests of the library's or the command's insides: they include one of its headers.
including = $(if $(TEST_SRC),$(shell grep -lE '^\#include "(([./]*/)?$(1)/[a-z_]+\.h|($(subst $(space),|,$(notdir $(wildcard $(1)/*.h))))")' $(TEST_SRC)))
CLIENT_TESTS := $(call including,client)
CLI_TESTS := $(call including,client/cli)
CAMPAIGN_SRC := $(wildcard tests/campaign/*.c)
ALL_SRC := $(CAMPAIGN_SRC) $(BROKER_SRC) $(CONSOLE_SRC) $(CLIENT_SRC) $(CLI_SRC) $(WORKER_SRC) $(DEMO_SRC) $(STANDIN_SRC) \
           $(SUPPORT_SRC) $(PRELOAD_SRC) $(COUNTED_SRC) $(TEST_SRC) $(FUZZ_SRC) $(FUZZ_COMMON) $(BENCH_MAIN) $(BENCH_COMMON) \
           $(wildcard tests/support/tsan_main.c)
ALL_HEADERS := $(sort $(wildcard include/*.h include/*/*.h broker/*.h broker/*/*.h client/*.h \
               client/*/*.h bench/*.h bench/*/*.h tests/*.h tests/*/*.h))

# The first list is what `make` needs, the second what tests and demo need besides.
BUILD_PC := liburing libseccomp lmdb libsodium jansson smartcols libedit libcurl libxxhash libmicrohttpd
TEST_PC := criterion
DEB_BUILD := gcc libc6-dev make pkg-config liburing-dev libseccomp-dev liblmdb-dev libsodium-dev \
             libjansson-dev libsmartcols-dev libedit-dev libcurl4-openssl-dev libxxhash-dev \
             libmicrohttpd-dev
DEB_TEST := libcriterion-dev
# The page's libraries come by npm, which may be here from elsewhere than Debian.
DEB_PAGE = $(if $(shell command -v npm),,npm)
# What the bench compares with. It builds without, and says what it could not measure.
DEB_BENCH := redis-server libhiredis-dev memcached libmemcached-dev gnuplot-nox valgrind
PEER_PC := hiredis libmemcached
DEB_COVERAGE := lcov
DEB_CONSOLE_TESTS = chromium $(DEB_PAGE)
DEB_CI := clang clang-tidy clang-format clang-tools cppcheck libclang-rt-14-dev spin

# pkg-config is asked when a recipe first needs the answer: `make deps` may install it before.
lazy = $(eval $(1) := $$(shell pkg-config $(2)))$($(1))
PC_CFLAGS = $(call lazy,PC_CFLAGS,--cflags $(BUILD_PC) 2>/dev/null)
BROKER_LIBS = $(call lazy,BROKER_LIBS,--libs liburing libseccomp lmdb libsodium jansson)
CONSOLE_LIBS = $(call lazy,CONSOLE_LIBS,--libs libmicrohttpd libsodium jansson)
CLIENT_LIBS = $(call lazy,CLIENT_LIBS,--libs lmdb jansson)
CLI_LIBS = $(call lazy,CLI_LIBS,--libs smartcols libedit jansson)
WORKER_LIBS = $(call lazy,WORKER_LIBS,--libs libcurl jansson)
STANDIN_LIBS = $(call lazy,STANDIN_LIBS,--libs libmicrohttpd)
PEER_LIBS = $(foreach library,$(PEER_PC),$(shell pkg-config --libs $(library) 2>/dev/null))
TEST_LIBS = $(call lazy,TEST_LIBS,--libs criterion)

# ---- flags -----------------------------------------------------------------------------------

CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wformat-security -Wstrict-prototypes \
            -Wmissing-prototypes -Wvla
# test_hardening looks for the effects in the built files. Not -fcf-protection: linkers drop the mark
# unless libc has it, and Debian's has not.
HARDENING := -fstack-protector-strong
LINK_HARDENING := -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed
CPPFLAGS_ALL = -D_GNU_SOURCE -Iinclude $(CPPFLAGS)
CFLAGS_ALL = -std=gnu17 -pthread $(CFLAGS) $(WARNINGS) $(HARDENING) \
             $(if $(filter 1,$(WERROR)),-Werror)

FLAGS_plain := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
FLAGS_asan := -U_FORTIFY_SOURCE -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
              -fno-sanitize-recover=undefined
FLAGS_tsan := -U_FORTIFY_SOURCE -O1 -fno-omit-frame-pointer -fsanitize=thread
FLAGS_fuzz := -U_FORTIFY_SOURCE -O1 -fno-omit-frame-pointer -fno-sanitize-recover=undefined \
              -fsanitize=fuzzer-no-link,address,undefined
# Nothing is folded together, so a line's count is its own; gcc then knows no ranges to warn about.
FLAGS_cov := -U_FORTIFY_SOURCE -O0 --coverage -fprofile-update=atomic -Wno-format-truncation
FLAGS_lint-gcc := $(FLAGS_plain)
FLAGS_lint-clang := $(FLAGS_plain)
LINK_plain :=
LINK_asan := -fsanitize=address,undefined
LINK_tsan := -fsanitize=thread
LINK_cov := --coverage
LINK_fuzz := -fsanitize=fuzzer,address,undefined
CC_plain = $(CC)
CC_asan = $(CC)
CC_tsan = $(CC)
CC_cov := gcc
CC_fuzz := clang
CC_lint-gcc := gcc
CC_lint-clang := clang
OUT_plain := build
OUT_asan := build/asan
OUT_tsan := build/tsan
OUT_cov := build/cov

# A report's way through the broker is short and found cold: whole-program optimisation puts its code
# together (5% of a failover). The objects carry ordinary code too, for the tests that link them.
LTO_plain = $(if $(findstring gcc,$(CC)),-flto=auto -ffat-lto-objects)
lto_flags = $(if $(filter $(BROKER_SRC),$(2)),$(LTO_$(1)))

# The library is position independent and shows only what its header marks; all else is a PIE.
# Tests may include any header by its path from the top.
is_library = $(filter $(CLIENT_SRC),$(1))
place_flags = $(if $(is_library),-fPIC -fvisibility=hidden,$(if $(filter $(PRELOAD_SRC) bench/reference.c,$(1)),-fPIC,-fPIE)) $(if $(filter tests/% bench/%,$(1)),-I. -Ibroker -Iclient)
objects = $(patsubst %.c,build/obj/$(1)/%.o,$(2))

# ---- rules of one variant ---------------------------------------------------------------------

# Objects are compiled again when the compiler or its flags change.
define COMPILE_RULES
build/obj/$(1)/.flags: FORCE
	@mkdir -p $$(@D)
	@echo '$$(strip $$(filter-out -Werror,$$(CC_$(1)) $$(CPPFLAGS_ALL) $$(CFLAGS_ALL) $$(FLAGS_$(1)) $$(LTO_$(1))))' >$$@.now; \
	  cmp -s $$@.now $$@ || cp $$@.now $$@
build/obj/$(1)/%.o: %.c build/obj/$(1)/.flags | check
	@mkdir -p $$(@D)
	@echo '  CC      $$< $(filter-out plain,$(1))'
	$$(Q)$$(CC_$(1)) $$(CPPFLAGS_ALL) $$(CFLAGS_ALL) $$(FLAGS_$(1)) $$(call place_flags,$$<) $$(call lto_flags,$(1),$$<) \
	  $$(PC_CFLAGS) -MMD -MP -c -o $$@ $$<
-include $$(patsubst %.o,%.d,$$(call objects,$(1),$$(ALL_SRC)))
endef

# $(1) variant. Archives keep a test's link errors its own: only what it uses is pulled in.
#   libbroker.a     the broker without its main; libconsole.a likewise
#   libclient.a     the library's own objects, for tests of its insides; libcli.a likewise
#   libkeybroker.a  the public library: one object in which all but kb_… is local
define VARIANT_RULES
$(OUT_$(1))/keybrokerd: $(call objects,$(1),$(BROKER_SRC) $(if $(filter cov,$(1)),tests/support/counted_kill.c))
	$$(call link,$(1),$$(if $$(LTO_$(1)),$$(LTO_$(1)) $$(CFLAGS) $$(FLAGS_$(1))) $$(BROKER_LIBS))
$(OUT_$(1))/keybroker-console: $(call objects,$(1),$(CONSOLE_SRC)) build/obj/$(1)/libbroker.a build/obj/page/assets.o
	$$(if $$(wildcard build/obj/page/assets.o),$$(call link,$(1),$$(CONSOLE_LIBS)),@rm -f $$@)
$(OUT_$(1))/keybroker: $(call objects,$(1),$(CLI_SRC)) $(OUT_$(1))/libkeybroker.a
	$$(call link,$(1),$$(CLI_LIBS) $$(CLIENT_LIBS))
$(OUT_$(1))/examples/worker: $(call objects,$(1),$(WORKER_SRC)) $(OUT_$(1))/libkeybroker.a
	$$(call link,$(1),$$(WORKER_LIBS) $$(CLIENT_LIBS))
$(OUT_$(1))/vendor_standin: $(call objects,$(1),$(STANDIN_SRC))
	$$(call link,$(1),$$(STANDIN_LIBS))
$(OUT_$(1))/demo: $(call objects,$(1),$(DEMO_SRC))
	$$(call link,$(1),$$(WORKER_LIBS))

build/obj/$(1)/libbroker.a: $(call objects,$(1),$(filter-out broker/main.c,$(BROKER_SRC)))
	$$(archive)
build/obj/$(1)/libconsole.a: $(call objects,$(1),$(filter-out broker/console/main.c broker/console/asset.c,$(CONSOLE_SRC)))
	$$(archive)
build/obj/$(1)/libclient.a: $(call objects,$(1),$(CLIENT_SRC))
	$$(archive)
build/obj/$(1)/libcli.a: $(call objects,$(1),$(filter-out client/cli/main.c,$(CLI_SRC)))
	$$(archive)
build/obj/$(1)/libsupport.a: $(call objects,$(1),$(SUPPORT_SRC))
	$$(archive)
build/obj/$(1)/keybroker.o: $(call objects,$(1),$(CLIENT_SRC))
	$$(Q)$$(CC_$(1)) -r -nostdlib -o $$@ $$^ && objcopy --localize-hidden $$@
$(OUT_$(1))/libkeybroker.a: build/obj/$(1)/keybroker.o
	$$(archive)
$(OUT_$(1))/libkeybroker.so.$(VERSION): $(call objects,$(1),$(CLIENT_SRC)) client/libkeybroker.map
	@mkdir -p $$(@D)
	@echo '  LINK    $$@'
	$$(Q)$$(CC_$(1)) -shared $$(LINK_$(1)) $$(LINK_HARDENING) $$(LDFLAGS) -pthread \
	  $(if $(filter plain,$(1)),-Wl$(,)-z$(,)defs) -Wl,-soname,$(SONAME) \
	  -Wl,--version-script=client/libkeybroker.map -o $$@ $$(filter %.o,$$^) $$(CLIENT_LIBS)
$(OUT_$(1))/$(SONAME): $(OUT_$(1))/libkeybroker.so.$(VERSION)
	$$(Q)ln -sf $$(<F) $$@
$(OUT_$(1))/libkeybroker.so: $(OUT_$(1))/$(SONAME)
	$$(Q)ln -sf $$(<F) $$@

PROGRAMS_$(1) := $(addprefix $(OUT_$(1))/,keybrokerd keybroker keybroker-console libkeybroker.a libkeybroker.so examples/worker)
PRELOADS_$(1) := $(PRELOAD_SRC:tests/support/%.c=$(OUT_$(1))/%.so)
HELPERS_$(1) := $(OUT_$(1))/vendor_standin $$(PRELOADS_$(1))
# Never with a sanitizer: they are loaded before the sanitizer's own library.
$$(PRELOADS_$(1)): $(OUT_$(1))/%.so: build/obj/plain/tests/support/%.o
	@mkdir -p $$(@D)
	@echo '  LINK    $$@'
	$$(Q)$$(CC) -shared $$(LINK_HARDENING) -o $$@ $$^
$(foreach test,$(TEST_SRC),$(eval $(call TEST_RULES,$(1),$(test),$(OUT_$(1))/$(test:.c=))))
endef

# $(1) variant, $(2) source, $(3) program. Broker, library and command may have functions of the
# same name, so a test that includes a header of client/ or client/cli/ is linked with those
# insides first; every other gets the library as users get it. Under TSan a runner of our own
# stands in for Criterion's, which maps memory where TSan allows none.
define TEST_RULES
$(3): $(call objects,$(1),$(2) $(if $(filter tsan,$(1)),tests/support/tsan_main.c) \
    $(if $(filter cov,$(1)),tests/support/counted_exit.c)) \
    build/obj/$(1)/libsupport.a $(if $(filter $(2),$(CLI_TESTS)),build/obj/$(1)/libcli.a) \
    $(if $(filter $(2),$(CLIENT_TESTS)),build/obj/$(1)/libclient.a,$(OUT_$(1))/libkeybroker.a) \
    build/obj/$(1)/libconsole.a build/obj/$(1)/libbroker.a
	$$(call link,$(1),$(if $(filter tsan,$(1)),,$$(TEST_LIBS)) $$(BROKER_LIBS) $$(CONSOLE_LIBS) $$(CLIENT_LIBS) $$(CLI_LIBS) $$(WORKER_LIBS))
endef

, := ,
archive = @rm -f $@; mkdir -p $(@D); ar rcsD $@ $^
define link
	@mkdir -p $(@D)
	@echo '  LINK    $@'
	$(Q)$(CC_$(1)) -pie -pthread $(LINK_$(1)) $(LINK_HARDENING) $(LDFLAGS) -o $@ $(filter %.o,$^) \
	  -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(2)
endef

$(foreach v,plain asan tsan cov fuzz lint-gcc lint-clang,$(eval $(call COMPILE_RULES,$(v))))
$(foreach v,plain asan tsan cov,$(eval $(call VARIANT_RULES,$(v))))

.PHONY: all FORCE
FORCE:
all: $(PROGRAMS_plain) ## build keybrokerd, keybroker, the library, the console and the example worker (default)

# ---- the console's page --------------------------------------------------------------------------

# Bundled in build/console, where npm puts what it downloads too, and embedded in keybroker-console.
# Where npm is missing or can't download, a sentence says so and there is no console, but everything
# else: these recipes end well without their target, and are tried again the next time.
PAGE := broker/console/page
PAGE_PACKAGE := $(wildcard $(addprefix $(PAGE)/,package.json package-lock.json .npmrc))
PAGE_SRC := $(shell find $(PAGE) -type f 2>/dev/null)
PAGE_FILES := index.html app.js app.css icon.svg
needs_page := $(filter test test-process asan tsan test-console lint lint-page,$(MAKECMDGOALS))
no_page = { echo 'keybroker: no web console: $(1)' >&2; rm -rf build/obj/page build/console/.bundled; exit $(if $(needs_page),1,0); }
build/console/npm/.installed: $(PAGE_PACKAGE) | check
	@mkdir -p $(@D)
	@command -v npm >/dev/null || $(call no_page,npm is missing. `make deps` installs it on Debian and Ubuntu.); \
	cp $(PAGE_PACKAGE) $(@D); cd $(@D) && echo '  NPM     $(PAGE)' && \
	npm ci --include=dev --no-audit --no-fund --fetch-retries=1 --fetch-retry-mintimeout=2000 >npm.log 2>&1 && touch .installed || { cd $(CURDIR); \
	  $(call no_page,npm could not download what its page is made with; see $(@D)/npm.log.); }
build/console/.bundled: $(PAGE_SRC) build/console/npm/.installed
	@test -e build/console/npm/.installed || exit 0; echo '  BUNDLE  $(PAGE)'; \
	cd build/console/npm && PAGE_SRC=$(CURDIR)/$(PAGE) OUT_DIR=$(CURDIR)/build/console \
	  NODE_PATH=$(CURDIR)/build/console/npm/node_modules npm run --silent build && cd .. && \
	for file in $(PAGE_FILES); do gzip -9nc $$file >$$file.gz || exit 1; done && touch .bundled
build/obj/page/assets.o: broker/console/assets.S build/console/.bundled
	@test -e build/console/.bundled || exit 0; mkdir -p $(@D); echo '  EMBED   $(PAGE)'; \
	$(CC) -c -Wa,-Ibuild/console -o $@ $<

# ---- what must be installed --------------------------------------------------------------------

NEED_TESTS := $(filter test test-unit test-process asan tsan coverage fuzz lint demo,$(MAKECMDGOALS))
INSTALLS := $(filter test test-unit test-process demo run,$(MAKECMDGOALS))

.PHONY: deps deps-bench deps-coverage deps-console deps-ci check
deps: ## install what is missing (Debian, Ubuntu), or say what to install
	$(call ensure_packages,$(DEB_BUILD) $(DEB_TEST) $(DEB_PAGE))
# Debian starts a server that is installed, where systemd runs. Those are not wanted here: the bench
# has servers of its own, and stops them.
deps-bench: ## the same for bench: what it compares with, plots, callgrind
	$(call ensure_packages,$(DEB_BUILD) $(DEB_BENCH)) && \
	{ test ! -d /run/systemd/system || for server in redis-server memcached; do \
	  case "$$missing " in *" $$server "*) $$sudo systemctl --quiet disable --now $$server;; esac; done; }
deps-coverage: ## the same for coverage: lcov, which reads what gcc's gcov counted
	$(call ensure_packages,$(DEB_BUILD) $(DEB_TEST) $(DEB_COVERAGE))
deps-console: ## the same for test-console: a browser
	$(call ensure_packages,$(DEB_BUILD) $(DEB_CONSOLE_TESTS))
deps-ci: deps ## the same for asan, tsan, lint and analyze, and a browser
	$(call ensure_packages,$(DEB_CI) $(DEB_CONSOLE_TESTS))

# Never installs by itself: says in one sentence what a compiler would say in a hundred.
check: $(if $(INSTALLS),deps) $(foreach goal,bench coverage,$(if $(filter $(goal),$(MAKECMDGOALS)),deps-$(goal))) \
       $(if $(filter test-console,$(MAKECMDGOALS)),deps-console)
	@command -v $(firstword $(CC)) >/dev/null || { \
	  echo 'keybroker: the compiler $(CC) is missing. `make deps` installs it on Debian and Ubuntu.' >&2; exit 1; }
	@command -v pkg-config >/dev/null || { \
	  echo 'keybroker: pkg-config is missing. `make deps` installs it on Debian and Ubuntu.' >&2; exit 1; }
	@missing=; for library in $(BUILD_PC) $(if $(NEED_TESTS),$(TEST_PC)); do \
	  pkg-config --exists $$library || missing="$$missing $$library"; done; \
	test -z "$$missing" || { \
	  echo "keybroker: missing libraries (with their headers):$$missing" >&2; \
	  echo 'On Debian and Ubuntu `make deps` installs them; elsewhere use your package manager.' >&2; exit 1; }

define ensure_packages
	@if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then \
	  missing=; for library in $(BUILD_PC) $(TEST_PC); do \
	    pkg-config --exists $$library 2>/dev/null || missing="$$missing $$library"; done; \
	  test -z "$$missing" && exit 0; \
	  echo 'keybroker: this is not Debian or Ubuntu. Please install a C compiler, make, pkg-config and' >&2; \
	  echo "the libraries (with headers):$$missing" >&2; exit 1; fi; \
	missing=; for package in $(1); do \
	  dpkg-query -W -f='$${db:Status-Status}\n' $$package 2>/dev/null | grep -qx installed || \
	    missing="$$missing $$package"; done; \
	test -z "$$missing" && exit 0; \
	echo "keybroker: installing$$missing"; \
	if test "$$(id -u)" = 0; then sudo=; elif command -v sudo >/dev/null; then sudo=sudo; else \
	  echo "keybroker: no sudo here. Please run as root: apt-get install$$missing" >&2; exit 1; fi; \
	$$sudo apt-get update -q </dev/null && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing </dev/null
endef

# ---- tests ---------------------------------------------------------------------------------------

# $(1) variant, $(2) kind of test
chosen = $(patsubst %.c,$(OUT_$(1))/%,$(filter $(if $(T),$(T:%=tests/$(2)/test_%.c),tests/$(2)/%),$(TEST_SRC)))
unit_tests = $(call chosen,$(1),unit)
process_tests = $(call chosen,$(1),process)
# What has no second thread for ThreadSanitizer to see (pure rules and formats), and process tests whose
# brokers do with theirs what the others' do, in more time: named with T= they run.
TSAN_LEAVES := $(addprefix unit/test_,%_calls catalog_lies classify cli_% console_% containers example_stream header hint keyconfig \
                 model_% options record recovery refusal render response response_good rule_lines run store_codec \
                 store_damage store_flips timetext vault vendor vendor_cases vendor_rules words) \
               $(addprefix process/test_,access bad_input clock command console_http hardening make_run readme secrets transfer)
tsan_chosen = $(if $(T),$(1),$(filter-out $(TSAN_LEAVES:%=$(OUT_tsan)/tests/%),$(1)))
# Tests find the programs they start in $KEYBROKER_BUILD and know from $KEYBROKER_VARIANT whether
# they run under a sanitizer, where long tests do fewer rounds.
run_tests = $(Q)KEYBROKER_BUILD=$(CURDIR)/$(OUT_$(1)) KEYBROKER_VARIANT=$(1) tests/support/run.sh $(CURDIR)/$(OUT_$(1))/log $(2)

.PHONY: test test-unit test-process asan tsan coverage
test: $(call unit_tests,plain) $(call process_tests,plain) $(PROGRAMS_plain) $(HELPERS_plain) ## install what is missing, build, run every test
	$(call run_tests,plain,$(call unit_tests,plain) $(call process_tests,plain))
test-unit: $(call unit_tests,plain) ## the unit tests alone
	$(call run_tests,plain,$(call unit_tests,plain))
test-process: $(call process_tests,plain) $(PROGRAMS_plain) $(HELPERS_plain) ## the tests with real broker processes alone
	$(call run_tests,plain,$(call process_tests,plain))
asan: $(call unit_tests,asan) $(call process_tests,asan) $(PROGRAMS_asan) $(HELPERS_asan) ## every test under AddressSanitizer and UBSan
	$(call run_tests,asan,$(call unit_tests,asan) $(call process_tests,asan))
TSAN_TESTS = $(call tsan_chosen,$(call unit_tests,tsan) $(call process_tests,tsan))
tsan: $(TSAN_TESTS) $(PROGRAMS_tsan) $(HELPERS_tsan) ## the tests with threads under ThreadSanitizer
	$(call run_tests,tsan,$(TSAN_TESTS))
coverage: $(call unit_tests,cov) $(call process_tests,cov) $(PROGRAMS_cov) $(HELPERS_cov) ## every test, counted: how much of the sources they reach, line by line in build/coverage/index.html
	$(Q)KEYBROKER_BUILD=$(CURDIR)/build/cov tests/support/coverage.sh $(call unit_tests,cov) $(call process_tests,cov)
test test-unit test-process test-console asan tsan coverage fuzz lint analyze: WERROR := 1

# The console in a real browser: tests/console, each file with a broker, a console and a browser of its
# own. T= picks files here too. Pictures of the pages land in build/screens.
CONSOLE_TESTS := $(if $(T),$(T:%=tests/console/test_%.mjs),$(wildcard tests/console/test_*.mjs))
TEST_CONSOLE_PACKAGE := $(addprefix tests/console/,package.json package-lock.json .npmrc)
build/test-console/.installed: $(TEST_CONSOLE_PACKAGE) | check
	@mkdir -p $(@D) && cp $(TEST_CONSOLE_PACKAGE) $(@D) && cd $(@D) && echo '  NPM     tests/console' && \
	npm ci --no-audit --no-fund >npm.log 2>&1 || { cat npm.log; exit 1; }; touch .installed
.PHONY: test-console
test-console: build/test-console/.installed $(PROGRAMS_plain) build/vendor_standin ## install what is missing, build, test the web console in chromium
	$(Q)KEYBROKER_BUILD=$(CURDIR)/build node tests/console/run.mjs $(CONSOLE_TESTS)

# Each target runs for FUZZ_SECONDS, from the corpus in the repository and what earlier runs found.
# An input that breaks something is kept in build/fuzz.
FUZZ_SECONDS ?= 60
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SRC))
build/obj/fuzz/libclient.a: $(call objects,fuzz,$(CLIENT_SRC))
	$(archive)
build/obj/fuzz/libcli.a: $(call objects,fuzz,$(filter-out client/cli/main.c,$(CLI_SRC)))
	$(archive)
build/obj/fuzz/libbroker.a: $(call objects,fuzz,$(filter-out broker/main.c,$(BROKER_SRC)))
	$(archive)
build/obj/fuzz/libsupport.a: $(call objects,fuzz,$(SUPPORT_SRC))
	$(archive)
# An object, not a member: what it stands in for must not be looked for in the broker's archive.
$(patsubst tests/fuzz/%.c,build/fuzz/%,$(if $(FUZZ_SRC),$(shell grep -l '^\#include "rig.h"' $(FUZZ_SRC)))): $(call objects,fuzz,$(FUZZ_COMMON))
$(FUZZERS:%=build/fuzz/fuzz_%): build/fuzz/%: build/obj/fuzz/tests/fuzz/%.o \
    $(foreach library,support cli client broker,build/obj/fuzz/lib$(library).a)
	$(call link,fuzz,$(TEST_LIBS) $(BROKER_LIBS) $(CLIENT_LIBS) $(CLI_LIBS))
.PHONY: fuzz $(FUZZERS:%=fuzz-%)
fuzz: $(FUZZERS:%=fuzz-%) ## fuzz everything that reads what others wrote, FUZZ_SECONDS each (60); needs clang
$(FUZZERS:%=fuzz-%): fuzz-%: build/fuzz/fuzz_%
	@mkdir -p build/fuzz/corpus/$*
	@build/fuzz/fuzz_$* -max_total_time=$(FUZZ_SECONDS) -max_len=$(if $(filter $*,stream),49152,8192) -dict=tests/fuzz/$(if $(filter $*,classify headers stream),keybroker,admin).dict \
	  -artifact_prefix=build/fuzz/$*- build/fuzz/corpus/$* tests/fuzz/corpus/$* >build/fuzz/$*.log 2>&1 || \
	  { tail -n 60 build/fuzz/$*.log; exit 1; }
	@echo "  fuzz_$*: $$(tail -n 1 build/fuzz/$*.log)"

# ---- campaigns -----------------------------------------------------------------------------------

# Long searches for what breaks: tests/campaign/NAME.sh, each with a SEED (printed; 0 = a new one)
# and a SIZE (what CI runs by default). tests/README.md has the long ones' results.
SEED ?= 0
CAMPAIGNS := $(patsubst tests/campaign/%.sh,%,$(wildcard tests/campaign/*.sh))
.PHONY: campaigns $(CAMPAIGNS:%=campaign-%)
campaign-kill: $(addprefix build/tests/process/,test_kill test_steps)
campaign-disk: $(addprefix build/tests/,unit/test_store_flips unit/test_reader_flips process/test_damaged_board \
  process/test_steps process/test_disk process/test_runtime_wiped)
build/campaign/stress: $(call objects,plain,tests/campaign/stress.c) build/libkeybroker.a build/obj/plain/libbroker.a
	$(call link,plain,$(BROKER_LIBS) $(CLIENT_LIBS))
campaign-stress: build/campaign/stress
campaigns: $(CAMPAIGNS:%=campaign-%) ## every campaign at the size that CI runs
$(CAMPAIGNS:%=campaign-%): campaign-%: tests/campaign/%.sh $(PROGRAMS_plain) $(HELPERS_plain)
	$(Q)KEYBROKER_BUILD=$(CURDIR)/build KEYBROKER_VARIANT=plain \
	  SEED=$$(test '$(SEED)' = 0 && od -An -N4 -tu4 /dev/urandom | tr -d ' ' || echo '$(SEED)') \
	  SIZE='$(SIZE)' tests/campaign/$*.sh

# ---- lint ----------------------------------------------------------------------------------------

.PHONY: lint lint-format lint-structure lint-page format
# What gcc compiles for use, it has also looked at: with WERROR=1, as for make test.
GCC_OBJECTS := $(if $(findstring gcc,$(CC)),plain,lint-gcc)
lint: lint-format lint-structure lint-page $(call objects,$(GCC_OBJECTS),$(ALL_SRC)) $(call objects,lint-clang,$(ALL_SRC)) \
      $(ALL_SRC:%.c=build/lint/%.tidy) ## formatting, structure, gcc and clang without a warning, clang-tidy
	@echo 'lint: $(words $(ALL_SRC)) sources and $(words $(ALL_HEADERS)) headers are clean'
lint-format:
	@clang-format --dry-run -Werror $(ALL_SRC) $(ALL_HEADERS)
lint-structure:
	@.ci/structure
lint-page: build/console/npm/.installed
	@echo '  TSC     $(PAGE)'; cd build/console/npm && PAGE_SRC=$(CURDIR)/$(PAGE) npm run --silent check
format: ## put every source into shape
	$(Q)clang-format -i $(ALL_SRC) $(ALL_HEADERS)

# Depends on clang's object, which is newer whenever a header that the source includes changed.
build/lint/%.tidy: %.c build/obj/lint-clang/%.o .clang-tidy
	@mkdir -p $(@D)
	@echo '  TIDY    $<'
	$(Q)clang-tidy --quiet --warnings-as-errors='*' $< -- -std=gnu17 $(CPPFLAGS_ALL) $(call place_flags,$<) \
	  $(PC_CFLAGS) -Wall -Wextra 2>$@.log || { cat $@.log; exit 1; }
	@touch $@

# Analyzers take seconds a file: they look at what is installed, lint at everything. Like lint they
# look again at what changed, and depend on clang's object for the headers.
ANALYZED := $(BROKER_SRC) $(CONSOLE_SRC) $(CLIENT_SRC) $(CLI_SRC) $(WORKER_SRC)
SCAN_CHECKERS := optin.portability.UnixAPI security.FloatLoopCounter security.insecureAPI.rand \
                 security.insecureAPI.strcpy valist.CopyToSelf valist.Uninitialized valist.Unterminated
analysis_flags = -std=gnu17 $(CPPFLAGS_ALL) $(call place_flags,$<) $(PC_CFLAGS)
analysis_begins = @mkdir -p $(@D); echo '  $(1) $<'
analysis_ends = >$@.log 2>&1 || { cat $@.log; exit 1; }; touch $@
.PHONY: analyze
analyze: $(ANALYZED:%.c=build/lint/%.gcc) $(ANALYZED:%.c=build/lint/%.scan) $(ANALYZED:%.c=build/lint/%.cppcheck) ## gcc's analyzer, clang's (scan-build) and cppcheck on what is installed
	@echo 'analyze: $(words $(ANALYZED)) sources are clean'
build/lint/%.gcc: %.c build/obj/lint-clang/%.o
	$(call analysis_begins,GCC-FA )
	$(Q)gcc -fanalyzer -Werror -O2 $(EXCEPTION) $(analysis_flags) -c -o /dev/null $< $(analysis_ends)
# gcc 12 takes what a function returned as a struct, or what memcpy filled, for not initialized.
build/lint/client/report_http.gcc build/lint/broker/store_master.gcc: EXCEPTION := -Wno-analyzer-use-of-uninitialized-value
build/lint/%.scan: %.c build/obj/lint-clang/%.o
	$(call analysis_begins,SCAN   )
	$(Q)scan-build --status-bugs -plist -o $(@D)/scan $(SCAN_CHECKERS:%=-enable-checker %) \
	  clang $(analysis_flags) -c -o /dev/null $< $(analysis_ends)
build/lint/%.cppcheck: %.c build/obj/lint-clang/%.o
	$(call analysis_begins,CPPCHK )
	$(Q)cppcheck --quiet --std=c17 --enable=warning,performance,portability --inline-suppr \
	  --error-exitcode=1 -D_GNU_SOURCE -Iinclude $< $(analysis_ends)

# ---- to see it and to measure it -------------------------------------------------------------------

.PHONY: demo run bench bench-quick
WORKERS ?= 4
IN_FLIGHT ?= 8
SECONDS ?= 20
demo: $(PROGRAMS_plain) $(HELPERS_plain) build/demo ## install what is missing, build, show a pool failing over for 20 seconds
	@build/demo --build $(CURDIR)/build --seconds $(SECONDS) --workers $(WORKERS) --in-flight $(IN_FLIGHT)
run: $(PROGRAMS_plain) ## the broker and the web console in the foreground, their state in build/run
	@bench/demo/run.sh build

# kb_current is measured in the static and in the shared library, each beside a reference function
# that is called the same way.
BENCH := $(addprefix build/bench/,bench_keybroker bench_hotpath_static bench_hotpath_shared)
build/bench/bench_keybroker: $(call objects,plain,bench/bench_keybroker.c $(BENCH_COMMON)) build/libkeybroker.a build/bench/.peers
	$(call link,plain,$(CLIENT_LIBS) $(PEER_LIBS))
# Compiled and linked again when a peer's client library came or went.
build/bench/.peers: FORCE | check
	@mkdir -p $(@D)
	@for library in $(PEER_PC); do pkg-config --modversion $$library 2>/dev/null || echo none; done >$@.now; \
	  cmp -s $@.now $@ || cp $@.now $@
$(call objects,plain,bench/redis.c bench/memcache.c): build/bench/.peers
HOTPATH_SRC := bench/bench_hotpath.c bench/sample.c
build/bench/bench_hotpath_static: $(call objects,plain,$(HOTPATH_SRC) bench/reference.c) build/libkeybroker.a
	$(call link,plain,$(CLIENT_LIBS))
build/bench/bench_hotpath_shared: $(call objects,plain,$(HOTPATH_SRC)) build/bench/libreference.so build/libkeybroker.so
	$(call link,plain,build/bench/libreference.so build/libkeybroker.so '-Wl$(,)-rpath$(,)$$ORIGIN:$$ORIGIN/..')
build/bench/libreference.so: $(call objects,plain,bench/reference.c)
	@mkdir -p $(@D)
	@echo '  LINK    $@'
	$(Q)$(CC_plain) -shared $(LINK_HARDENING) $(LDFLAGS) -Wl,-soname,$(@F) -o $@ $^
run_bench = @KEYBROKER_BUILD=$(CURDIR)/build KEYBROKER_COMPILER='$(CC) $(CFLAGS) $(HARDENING) $(FLAGS_plain)' \
  build/bench/bench_keybroker
bench: $(BENCH) $(PROGRAMS_plain) $(HELPERS_plain) ## install what it compares with, measure everything, or S=SECTION alone (minutes)
	$(run_bench) $(S)
bench-quick: $(BENCH) $(PROGRAMS_plain) $(HELPERS_plain) ## a part of it with few rounds (a minute); fails where a ratio is far off
	$(run_bench) --quick

# ---- installation ------------------------------------------------------------------------------------

.PHONY: install uninstall clean help
install: $(PROGRAMS_plain) build/libkeybroker.so.$(VERSION) ## into PREFIX (default /usr/local), under DESTDIR
	$(Q)install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(SBINDIR)' '$(DESTDIR)$(LIBDIR)/pkgconfig' \
	  '$(DESTDIR)$(INCLUDEDIR)' '$(DESTDIR)$(UNITDIR)'
	$(Q)install -m 755 build/keybroker '$(DESTDIR)$(BINDIR)/keybroker'
	$(Q)install -m 755 build/keybrokerd '$(DESTDIR)$(SBINDIR)/keybrokerd'
	$(Q)if test -x build/keybroker-console; then \
	  install -m 755 build/keybroker-console '$(DESTDIR)$(BINDIR)/keybroker-console'; fi
	$(Q)install -m 644 build/libkeybroker.a '$(DESTDIR)$(LIBDIR)/libkeybroker.a'
	$(Q)install -m 755 build/libkeybroker.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/libkeybroker.so.$(VERSION)'
	$(Q)ln -sf libkeybroker.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	$(Q)ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libkeybroker.so'
	$(Q)install -m 644 include/keybroker.h '$(DESTDIR)$(INCLUDEDIR)/keybroker.h'
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(LIBDIR)|g' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|g' \
	  -e 's|@VERSION@|$(VERSION)|g' client/keybroker.pc.in > build/keybroker.pc
	$(Q)install -m 644 build/keybroker.pc '$(DESTDIR)$(LIBDIR)/pkgconfig/keybroker.pc'
	$(Q)for unit in keybrokerd $$(test ! -x build/keybroker-console || echo keybroker-console); do \
	  sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@BINDIR@|$(BINDIR)|g' -e 's|@SBINDIR@|$(SBINDIR)|g' \
	    broker/$$unit.service.in > build/$$unit.service && \
	  install -m 644 build/$$unit.service '$(DESTDIR)$(UNITDIR)/' || exit 1; done
	$(refresh_linker)
uninstall: ## remove what install put there
	$(Q)cd / && rm -f '$(DESTDIR)$(BINDIR)/keybroker' '$(DESTDIR)$(SBINDIR)/keybrokerd' \
	  '$(DESTDIR)$(BINDIR)/keybroker-console' '$(DESTDIR)$(UNITDIR)/keybroker-console.service' \
	  '$(DESTDIR)$(LIBDIR)/libkeybroker.a' '$(DESTDIR)$(LIBDIR)/libkeybroker.so' \
	  '$(DESTDIR)$(LIBDIR)/$(SONAME)' '$(DESTDIR)$(LIBDIR)/libkeybroker.so.$(VERSION)' \
	  '$(DESTDIR)$(LIBDIR)/pkgconfig/keybroker.pc' '$(DESTDIR)$(INCLUDEDIR)/keybroker.h' \
	  '$(DESTDIR)$(UNITDIR)/keybrokerd.service'
	$(refresh_linker)
# Only a real installation concerns this machine's linker.
refresh_linker = $(if $(DESTDIR),,@if test "$$(id -u)" = 0 && command -v ldconfig >/dev/null; then ldconfig; fi)

clean: ## remove build/
	$(Q)rm -rf build
help: ## list these targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1@\2/p' Makefile | awk -F@ '{ printf "%-15s %s\n", $$1, $$2 }'
