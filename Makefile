# The front door: every word here is one command on a fresh machine. The build itself is Meson's.
BUILD ?= build
PREFIX ?= /usr/local
WINDOWS ?= build-windows
CHART ?= $(BUILD)/channels.svg
.PHONY: help run test test-windows build build-windows dist-windows bench check soak install clean
.PHONY: deps deps-test deps-check deps-windows

help:
	@echo 'make run      build, then show stoa on real input: a search of /usr'
	@echo 'make test     build, for Linux and for Windows, then run every test'
	@echo 'make test-windows  the tests of the Windows build alone, under Wine'
	@echo 'make dist-windows  a zip with the library and the tool for Windows'
	@echo 'make build    build the library, the tool ($(BUILD)/tools/stoa) and the tests'
	@echo 'make bench    build, then measure, beside other libraries too; draws a chart (CHART=$(CHART))'
	@echo 'make check    everything else that can be checked: both compilers, sanitizers, models, style'
	@echo 'make soak     the tests with long rounds (about an hour)'
	@echo 'make install  install (PREFIX=/usr/local, DESTDIR=)'
	@echo 'make deps     install the packages that a build needs and this machine lacks'
	@echo 'make clean    remove the build'

deps:
	@scripts/deps build

deps-test:
	@scripts/deps test

deps-check:
	@scripts/deps check

deps-windows:
	@scripts/deps windows

build: deps
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) $(SETUP)
	@ninja -C $(BUILD)

build-windows: deps deps-windows
	@test -f $(WINDOWS)/build.ninja || meson setup --cross-file packaging/mingw-w64.ini $(WINDOWS) $(SETUP)
	@ninja -C $(WINDOWS)

run: build
	@scripts/run $(BUILD)

test: deps-test build build-windows
	@scripts/test $(BUILD) $(WINDOWS)

test-windows: build-windows
	@scripts/test $(WINDOWS)

dist-windows: build-windows
	@scripts/dist-windows $(WINDOWS)

soak: deps-test build
	@STOA_SOAK=1 scripts/test $(BUILD)

# What cannot be installed is left out. What was not there when the build was made is looked for again.
bench: build
	@scripts/deps bench || true
	@test -x $(BUILD)/bench/stoa-bench-peer-nng -a -x $(BUILD)/bench/stoa-bench-sigsegv || { meson configure --clearcache $(BUILD) && meson setup --reconfigure $(BUILD) >/dev/null; }
	@ninja -C $(BUILD)
	@$(BUILD)/tools/stoa bench --svg $(CHART)
	@echo 'chart: $(CHART)'

check: deps-check
	@scripts/check

install: build
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@ninja -C $(BUILD)
	@meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) build-*
