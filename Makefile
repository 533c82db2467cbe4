# The front door: every word here is one command on a fresh machine. The build itself is Meson's.
BUILD ?= build
PREFIX ?= /usr/local
.PHONY: help run test build bench check soak install deps deps-test deps-check clean

help:
	@echo 'make run      build, then show stoa on real input: a search of /usr'
	@echo 'make test     build, then run every test'
	@echo 'make build    build the library, the tool ($(BUILD)/tools/stoa) and the tests'
	@echo 'make bench    build, then measure'
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

build: deps
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) $(SETUP)
	@ninja -C $(BUILD)

run: build
	@scripts/run $(BUILD)

test: deps-test build
	@scripts/test $(BUILD)

soak: deps-test build
	@STOA_SOAK=1 scripts/test $(BUILD)

bench: build
	@$(BUILD)/tools/stoa bench

check: deps-check
	@scripts/check

install: build
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@ninja -C $(BUILD)
	@meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) build-*
