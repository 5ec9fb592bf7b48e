# SPDX-License-Identifier: GPL-2.0-or-later
# Everything from a checkout: `sudo make demo`, `sudo make check`, `sudo make bench GROUP=nat44`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# Debian's Python sees Debian's python3-* packages; another one may come first on PATH.
export PATH := /usr/sbin:/usr/bin:/sbin:/bin:$(PATH)
PYTHON := /usr/bin/python3
export PYTHONPATH := $(CURDIR):$(CURDIR)/agent:$(CURDIR)/build/lib
export GW_BPF_DIR := $(CURDIR)/build/bpf
CLANG ?= clang
LLVM_STRIP ?= llvm-strip
VENV := build/venv
PYTEST := $(PYTHON) -m pytest
GROUP ?=
export GROUP

# Lazy, for nothing needs to be installed when this file is read.
MULTIARCH = $(shell gcc -print-multiarch)
# An entry point or callback has the parameters the kernel gives it, used or not.
BPF_CFLAGS = -O2 -g -Wall -Wextra -Wno-unused-parameter -Werror -target bpf -mcpu=v3 \
	-I bpf/include -I bpf/src -I /usr/include/$(MULTIARCH)

BPF_OBJECTS := $(patsubst bpf/%.bpf.c,build/bpf/%.bpf.o,$(wildcard bpf/*.bpf.c))
NATIVE := $(if $(wildcard agent/native/build_native.py),build/lib/.built)
BGP := $(if $(wildcard agent/native/build_bgp.py),build/lib/.bgp-built)
WORKER := $(if $(wildcard dpdk/cffi_build.py),build/lib/.worker-built)
GUESTS := bookworm trixie
BENCH := $(if $(wildcard tests/bench/Makefile),bench-tool)
WRAPPERS := $(addprefix build/bin/,gwctl gw-agent gw-worker gw-handback)

PYTHON_SOURCES = agent dpdk $(wildcard tests)
C_SOURCES = $(shell find bpf dpdk agent tests -name '*.[ch]' 2>/dev/null)

.PHONY: all setup build demo check check-fast check-vm lint types format bench bench-tool clean clean-build

all: build

# ---- what a machine needs ---------------------------------------------------------------

setup: $(VENV)/.installed
	@.ci/install-packages
	@mountpoint -q /sys/fs/bpf || [ "$$(id -u)" -ne 0 ] || mount -t bpf bpf /sys/fs/bpf

# Developer tools only; nothing that runs on the gateway comes from here.
$(VENV)/.installed: .ci/dev-requirements.txt
	@.ci/install-packages
	@rm -rf $(VENV)
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# ---- build ------------------------------------------------------------------------------

build: $(BPF_OBJECTS) $(NATIVE) $(BGP) $(WORKER) $(BENCH) $(WRAPPERS)

build/bpf/%.bpf.o: bpf/%.bpf.c Makefile
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -MT $@ -c $< -o $@
	$(LLVM_STRIP) --strip-debug $@

-include $(wildcard build/bpf/*.d)

build/lib/.built: $(filter-out %/build_bgp.py,$(wildcard agent/native/*)) $(wildcard bpf/include/*.h) Makefile
	@mkdir -p $(@D)
	$(PYTHON) agent/native/build_native.py build/lib
	@touch $@

build/lib/.bgp-built: agent/native/build_bgp.py Makefile
	@mkdir -p $(@D)
	$(PYTHON) $< build/lib
	@touch $@

# Knows itself which of its objects are current.
build/lib/.worker-built: $(shell find dpdk -name '*.[ch]' 2>/dev/null) \
		$(wildcard dpdk/cffi_build.py) Makefile
	@mkdir -p $(@D)
	$(PYTHON) dpdk/cffi_build.py build/lib build/dpdk
	@touch $@

bench-tool:
	@$(MAKE) --no-print-directory -C tests/bench

# The wrappers find the checkout from their own place, so that it can be moved or mounted.
define WRAPPER
#!/bin/sh
# Runs the checkout's program, uninstalled.
here=$$(readlink -f -- "$$0")
root=$${here%/build/bin/*}
PYTHONPATH="$$root/agent:$$root/build/lib$${PYTHONPATH:+:$$PYTHONPATH}"
GW_BPF_DIR="$${GW_BPF_DIR:-$$root/build/bpf}"
export PYTHONPATH GW_BPF_DIR
exec /usr/bin/python3 -P -m MODULE "$$@"
endef
export WRAPPER

build/bin/gwctl: MODULE := hybrid_gateway.cli
build/bin/gw-agent: MODULE := hybrid_gateway.agent
build/bin/gw-worker: MODULE := hybrid_gateway.worker
build/bin/gw-handback: MODULE := hybrid_gateway.devices.handback
$(WRAPPERS): Makefile
	@mkdir -p $(@D)
	@printf '%s\n' "$${WRAPPER//MODULE/$(MODULE)}" >$@
	@chmod 755 $@

# ---- run --------------------------------------------------------------------------------

# The build is a make of its own: what setup installs is needed to plan it.
demo: setup
	@$(MAKE) --no-print-directory build
	$(PYTHON) -m hybrid_gateway.lab.demo

bench: setup
	@$(MAKE) --no-print-directory build
	$(PYTHON) -m tests.bench $(GROUP)

# ---- check ------------------------------------------------------------------------------

lint: $(VENV)/.installed
	$(VENV)/bin/ruff format --check $(PYTHON_SOURCES)
	$(VENV)/bin/ruff check $(PYTHON_SOURCES)
	$(if $(C_SOURCES),clang-format --dry-run -Werror $(C_SOURCES))

types: $(VENV)/.installed
	$(VENV)/bin/mypy $(PYTHON_SOURCES)

check: setup
	@$(MAKE) --no-print-directory lint types
	@$(MAKE) --no-print-directory clean-build
	@$(MAKE) --no-print-directory build
	@failed=; $(PYTEST) --ignore=tests/vm tests || failed=yes; \
	$(MAKE) --no-print-directory --keep-going --output-sync -j $(words $(GUESTS)) check-vm || failed=yes; \
	[ -z "$$failed" ]

# A guest takes one core, so they run side by side; nothing else does meanwhile.
check-vm: $(GUESTS:%=check-vm-%)

check-vm-%:
	$(PYTEST) -k $* tests/vm

check-fast: setup
	@$(MAKE) --no-print-directory lint types build
	$(PYTEST) -m "not forward" $(wildcard tests/unit tests/abi tests/bpf tests/rfc)

format: $(VENV)/.installed
	$(VENV)/bin/ruff format $(PYTHON_SOURCES)
	$(VENV)/bin/ruff check --fix $(PYTHON_SOURCES)
	$(if $(C_SOURCES),clang-format -i $(C_SOURCES))

# What was compiled, but neither the developer tools nor cached images of virtual machines.
clean-build:
	rm -rf build/bpf build/lib build/dpdk build/bench build/bin

clean:
	rm -rf build
