# make run     install, migrate and start everything; Ctrl-C stops it
# make test    install what tests need and run them all, or some: ARGS="tests/worker -k name" goes to pytest
# make quick   the tests that need no browser, no other database and no process of ours; run it before each commit
# make coverage  make test, and then which branches no test has reached
# make test-faults  half an hour of faults on PostgreSQL, and on SQLite, against real processes; or ARGS="--minutes 5"
# make check   ruff, mypy, and zizmor for the workflow of CI
# make audit   known vulnerabilities of the packages in requirements.txt (needs the internet)
# make test-evennia  a real Evennia game against the worker (slow; installs it into .venv-evennia)
# make bench   compare the worker with C and gevent-websocket (8 minutes; needs gcc): bench/results/
# make bench-peers  the same with nats-server, mosquitto, ngircd, Node and asyncio, which it installs (20 minutes)
# make bench-compare BASE=…  compare this worker with that of another commit (8 minutes)
# make clean   remove the environment and what tools left; the data in instance/ stays

.DEFAULT_GOAL := help
.PHONY: help run install install-dev test quick coverage test-faults test-evennia check audit requirements clean
.PHONY: bench bench-peers bench-compare

# Runs only when .venv is made: the first Python that is new enough, or the one named with PYTHON=….
PYTHON ?= $(firstword $(shell command -v python3.11 python3 python 2>/dev/null))

help:
	@sed -n 's/^# make /make /p' Makefile

# The last line is one plain command: make starts it without a shell, so that a SIGTERM to make reaches the launcher.
run: .venv/.installed
	@.venv/bin/python -m launcher

install: .venv/.installed

install-dev: .venv/.installed-dev

# Tests start programs of ours by the hundred: without kept bytecode each of them would compile our code again.
PYTEST = env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -m pytest

# Two processes more than there are cores, 6 at most: tests wait for half of their time. With `worksteal` each process
# runs tests that stand side by side, so that what a module shares is started once.
CORES = $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
PARALLEL = --numprocesses=$(shell expr $(CORES) + 2) --maxprocesses=6 --dist=worksteal

# Named files run at once: in one process, and without looking for server programs and a browser to install.
ifeq ($(filter %.py,$(subst ::, ,$(ARGS))),)
test: .venv/.installed-dev
	@sh scripts/test-setup
	@$(PYTEST) $(PARALLEL) $(ARGS)
else
test: .venv/.installed-dev
	@$(PYTEST) -p no:xdist $(ARGS)
endif

quick: .venv/.installed-dev
	@$(PYTEST) $(PARALLEL) --quick $(ARGS)

coverage: .venv/.installed-dev
	@sh scripts/test-setup
	@rm -rf .coverage && mkdir .coverage
	@status=0; env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -m coverage run -m pytest $(PARALLEL) $(ARGS) || status=$$?; \
	.venv/bin/python -m coverage combine --quiet && .venv/bin/python -m coverage report; exit $$status

test-faults: .venv/.installed-dev
	@sh scripts/test-setup
	@env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -m tests.faults $(ARGS)

test-evennia: .venv/.installed-dev .venv-evennia/.installed
	@EVENNIA_PROGRAMS="$(CURDIR)/.venv-evennia/bin" .venv/bin/python -m pytest --slow -s tests/evennia

check: .venv/.installed-dev
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/zizmor --offline --quiet --no-progress .github/workflows

audit: .venv-audit/.installed
	@.venv-audit/bin/python scripts/audit.py

bench: .venv/.installed-dev
	@.venv/bin/python -m bench.compare $(ARGS)

bench-peers: .venv/.installed-dev
	@sh bench/servers/install
	@.venv/bin/python -m bench.compare --peers --minutes 25 $(ARGS)

bench-compare: .venv/.installed-dev
	@test -n "$(BASE)" || { echo "Name a commit: make bench-compare BASE=HEAD~1" >&2; exit 2; }
	@.venv/bin/python -m bench.commits "$(BASE)" $(ARGS)

requirements: .venv/.installed-dev
	@.venv/bin/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options --output-file=requirements.txt requirements.in
	@.venv/bin/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options --output-file=requirements-traces.txt requirements-traces.in
	@.venv/bin/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options --output-file=requirements-dev.txt requirements-dev.in

clean:
	rm -rf .venv .venv-audit .venv-evennia .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed: requirements.txt
	@sh scripts/make-venv "$(PYTHON)"
	@echo "Installing what runs the network (a minute the first time) ..."
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch .venv/.installed

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	@echo "Installing what tests and checks need ..."
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch .venv/.installed-dev

.venv-audit/.installed: Makefile .venv/.installed
	@test -d .venv-audit || .venv/bin/python -m venv .venv-audit
	@.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	@touch .venv-audit/.installed

.venv-evennia/.installed: tests/evennia/requirements.txt
	@test -d .venv-evennia || .venv/bin/python -m venv .venv-evennia
	@echo "Installing Evennia ..."
	@.venv-evennia/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/evennia/requirements.txt
	@touch .venv-evennia/.installed
