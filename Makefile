# The one door. `make demo` shows what Cowpath does, `make test` runs everything.
SHELL := /bin/sh
# Which lab: ceph where it can be had (root on Debian or Ubuntu, or installed), else files.
KIND ?= $(shell $(PYTHON) -m lab best)
UV_VERSION := 0.13.9
UV := .tools/bin/uv
BIN := .venv/bin
# A whole OpenStack is started by root only.
CLOUD = $(shell test "$(KIND)" != files && test "$$(id -u)" = 0 && echo yes)
# Debian's own interpreter sees Debian's libvirt binding; another may not.
PYTHON ?= $(shell for p in /usr/bin/python3 python3; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
SLOWEST := --durations=20 --durations-min=5
export LAB_UV := $(abspath $(UV))
# Behind a TLS-inspecting proxy only the system's certificates will do.
export UV_SYSTEM_CERTS ?= 1

.PHONY: help demo test check mutations lint types arrows unit lab-up lab-down docs clean fmt \
  wheel-test lab-test test-nova test-glance bench-warm bench-nova \
  bench-cold bench-wan bench-guests soak
help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: packages $(BIN)/.synced  ## Boot an image at a site that does not have it.
	$(BIN)/python -m lab.demo --kind $(KIND)

# Two at a time: the labs wait for services more than they compute.
test: packages $(BIN)/.synced  ## Everything: checks, docs, the real services.
	@$(BIN)/python -m lab packages --for files --install
	@test -z "$(CLOUD)" || $(BIN)/python -m lab packages --for openstack --install
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=line lane-1 lane-2

.PHONY: lane-1 lane-2 test-quick test-files test-ceph test-nova-upstream test-openstack
lane-1:
	@$(MAKE) --no-print-directory test-ceph
	@$(MAKE) --no-print-directory test-nova-upstream

lane-2:
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory docs
	@$(MAKE) --no-print-directory wheel-test
	@$(MAKE) --no-print-directory test-quick
	@$(MAKE) --no-print-directory test-files
	@$(MAKE) --no-print-directory test-openstack
	@$(MAKE) --no-print-directory test-glance
	@$(MAKE) --no-print-directory mutations

lab-test: test-quick test-files test-ceph  ## The tests on the real services, file stores and Ceph.

test-quick: $(BIN)/.synced
	$(BIN)/pytest -q tests/contracts tests/doors

test-files: packages $(BIN)/.synced
	$(BIN)/python -m lab packages --for files --install
	$(BIN)/python -m lab up --kind files
	$(BIN)/pytest -q $(SLOWEST) -m "lab and not soak" tests/lab; status=$$?; \
	  $(BIN)/python -m lab down --kind files; exit $$status

test-ceph: packages $(BIN)/.synced
	@test $(KIND) = ceph || echo "Not run: the tests on Ceph, for KIND=$(KIND); python3 -m lab packages --for ceph says what this machine lacks."
	test $(KIND) != ceph || { $(BIN)/python -m lab up --kind ceph && \
	  $(BIN)/pytest -q $(SLOWEST) -m "ceph and not soak" tests/lab; status=$$?; \
	  $(BIN)/python -m lab down --kind ceph; exit $$status; }

test-nova: test-nova-upstream test-openstack  ## Inside Nova: its own tests, and a whole OpenStack with two sites.

test-nova-upstream: packages $(BIN)/.synced
	$(BIN)/pytest -q -m nova_upstream tests/nova

test-openstack: packages $(BIN)/.synced
	@test -n "$(CLOUD)" || echo "Not run: the tests on a whole OpenStack: it needs root and Ceph; python3 -m lab packages --for openstack says what this machine lacks."
	test -z "$(CLOUD)" || $(BIN)/python -m lab packages --for openstack --install
	test -z "$(CLOUD)" || { $(BIN)/python -m lab up --kind openstack && \
	  $(BIN)/pytest -q $(SLOWEST) -m "openstack and not soak" tests/lab/openstack; status=$$?; \
	  $(BIN)/python -m lab down --kind openstack; exit $$status; }

test-glance: packages $(BIN)/.synced  ## Inside Glance: its own tests, and ours; GLANCE_RELEASES=all.
	$(BIN)/pytest -q -m glance_upstream tests/glance

bench-warm: packages $(BIN)/.synced  ## Warm create on Ceph beside bare librbd and Nova's way; JSON=1.
	@$(BIN)/python -m lab packages --for ceph --install >&2
	@$(BIN)/python -m lab up --kind ceph >&2
	@$(BIN)/python -m benchmarks.warm

bench-nova: packages $(BIN)/.synced  ## Faults on Nova's own backend beside ours, as root; JSON=1.
	@$(BIN)/python -m lab packages --for openstack --install >&2
	@$(BIN)/python -m lab up --kind openstack >&2
	@$(BIN)/python -m benchmarks.nova_faults

bench-cold: packages $(BIN)/.synced  ## Copies between clusters beside Glance's and Ceph's own; JSON=1.
	@$(BIN)/python -m lab packages --for ceph --install >&2
	@$(BIN)/python -m lab up --kind ceph --in-memory >&2
	@$(BIN)/python -m benchmarks.cold

bench-wan: packages $(BIN)/.synced  ## The same over 200 Mbit/s and 80 ms, as root; JSON=1.
	@$(BIN)/python -m lab packages --for ceph --install >&2
	@unshare --net $(BIN)/python -m benchmarks.wan

bench-guests: packages $(BIN)/.synced  ## What a guest's disk feels of a copy; JSON=1.
	@$(BIN)/python -m lab packages --for ceph --install >&2
	@$(BIN)/python -m lab up --kind ceph --in-memory >&2
	@$(BIN)/python -m benchmarks.guest_latency

# Without uWSGI and Apache the tests of them are skipped, and say so.
soak: packages $(BIN)/.synced  ## Long runs, on labs of all kinds that can be had.
	$(BIN)/pytest -q --hypothesis-profile=soak tests/flows
	-@$(BIN)/python -m lab packages --for wsgi --install
	$(BIN)/python -m lab up --kind files
	$(BIN)/pytest -q -m "soak and lab" tests/lab
	$(BIN)/python -m lab up --kind ceph
	$(BIN)/pytest -q -m "soak and ceph" tests/lab
	test -z "$(CLOUD)" || { $(BIN)/python -m lab up --kind openstack && \
	  $(BIN)/pytest -q -m "soak and openstack" tests/lab/openstack; }
	NOVA_RELEASES=all $(BIN)/pytest -q -m nova_upstream tests/nova
	GLANCE_RELEASES=all $(BIN)/pytest -q -m glance_upstream tests/glance

check: lint types arrows unit  ## Lint, types, arrows and the fast tests.

lint: $(BIN)/.synced
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/codespell src tests lab docs README.md

types: $(BIN)/.synced
	$(BIN)/mypy

arrows: $(BIN)/.synced
	$(BIN)/lint-imports --no-logo

unit: $(BIN)/.synced
	$(BIN)/pytest -q tests/unit tests/flows

mutations: $(BIN)/.synced  ## Nova's rules, put back one by one: a test must notice each.
	$(BIN)/pytest -q -m mutation tests/mutations

wheel-test: $(BIN)/.synced  ## The wheel in a clean environment: library and CLI.
	$(BIN)/pytest -q -m wheel tests/doors

docs: $(BIN)/.synced  ## Build the documentation, strictly.
	$(BIN)/sphinx-build -W --keep-going -n -q docs docs/_build/html

fmt: $(BIN)/.synced  ## Format and mend what can be mended.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lab-up: packages $(BIN)/.synced  ## Start the lab: KIND=files, ceph or openstack.
	$(BIN)/python -m lab up --kind $(KIND)

lab-down:  ## Stop the lab: KIND=files, ceph or openstack.
	$(PYTHON) -m lab down --kind $(KIND)

clean:  ## Stop the lab and remove everything that was made here.
	$(PYTHON) -m lab wipe --kind files
	$(PYTHON) -m lab wipe --kind ceph
	$(PYTHON) -m lab wipe --kind openstack
	rm -rf .venv .tools lab/run docs/_build dist .mypy_cache .ruff_cache .pytest_cache \
	  .hypothesis .import_linter_cache

.PHONY: packages python
python:
	@test -n "$(PYTHON)" || { echo "Cowpath needs Python 3.11 or newer: apt-get install python3"; exit 1; }

packages: python
	@$(PYTHON) -m lab packages --for $(KIND) --install

$(UV): | python
	@$(PYTHON) -m lab packages --for check --install
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet uv==$(UV_VERSION)

$(BIN)/.synced: pyproject.toml uv.lock | $(UV)
	test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) --system-site-packages .venv
	$(UV) sync --quiet --frozen --extra cli
	@touch $@
