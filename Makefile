# `make` lists the verbs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup test attacks interop check lint types contracts docs demo bench bench-agp bench-peers bench-compare bench-control bench-native scale tenants memory fuzz fuzz-long asan fuzz-api proto wheels coverage clean

help: ## list the verbs
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(STAMP) ## make the virtual environment and install everything into it

HOTPATH = $(wildcard agpd/hotpath/*.pyx agpd/hotpath/*.pxi) hatch_build.py scripts/compile_hotpath.py

$(STAMP): pyproject.toml $(HOTPATH)
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh scripts/setup.sh
	@touch $@

# What runs through the hot path runs through its twin as well.
TWINS = tests/unit/hotpath tests/unit/gateway tests/unit/transport/test_native.py tests/property/test_forward_model.py \
	tests/property/test_foreign_sources.py tests/unit/test_fuzz_seeds.py tests/scenarios/test_patterns.py

test: setup ## run the tests; those of the hot path once more with its twin in Python
	$(BIN)/pytest tests -q -m "not scale and not slow and not interop"
	AGPD_PURE=1 $(BIN)/pytest $(TWINS) -q -m "not scale and not slow"

scale: setup ## hold 10,000 plaintext and 5,000 mutual-TLS connections
	$(BIN)/pytest tests -q -m scale -rP

tenants: setup ## 100,000 random steps of three tenants against the model of what may cross, about 5 minutes
	$(BIN)/pytest tests/property/test_tenants_model.py -q -m slow

interop: setup ## installed AGP clients of others, each in an environment of its own, against a gateway
	$(BIN)/pytest tests/interop -q -m interop

attacks: setup ## a lying gateway against end-to-end encryption: each attack with 1,000 seeds, every bit of every message, about 15 minutes
	AGPD_ATTACK_SEEDS=1000 AGPD_FLIP_EVERY=1 AGPD_AEAD_ROUNDS=1000000 AGPD_WINDOW_ROUNDS=1000000 \
		$(BIN)/pytest tests/unit/crypto/test_crypto_attacks.py tests/unit/crypto/test_crypto_flips.py \
		tests/unit/crypto/test_crypto_aead.py tests/unit/crypto/test_crypto_replay.py -q

lint: setup ## formatting and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup ## mypy and pyright, strict
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

contracts: setup ## the import contracts between the parts
	$(BIN)/lint-imports

docs: setup ## build the documentation, warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

check: lint types contracts docs test ## everything CI runs

demo: setup ## five agents work through a document over a real gateway with mutual TLS
	$(BIN)/python -m examples.workflow

coverage: setup ## branch coverage of each module by its own test file
	$(BIN)/python scripts/coverage_by_module.py

bench: setup ## measure the gateway under load, about 6 minutes (BENCH_REPEAT=1: a quick look); results in bench/results
	$(BIN)/python -m bench.load run

bench-peers: setup ## measure agpd beside other systems (PEERS=nats,redis picks some); results in bench/results
	$(BIN)/python -m bench.peers
	$(BIN)/pytest bench/peers -q --benchmark-enable --benchmark-only --benchmark-columns=median,min,max,rounds

bench-control: setup ## measure the control plane, and the data plane beside it, about 4 minutes; results in bench/results
	$(BIN)/python -m bench.control

bench-native: setup ## build the load generator in C and test it, with sanitizers too
	$(BIN)/pytest tests/unit/bench/test_agpload.py -q

memory: setup ## bytes for each connection and subscription, and what the collector costs; results in bench/results
	$(BIN)/python -m bench.memory

bench-agp: setup ## what an AGP message costs, beside a relay on grpc.aio and the wheel's own gateway, about 3 minutes
	$(BIN)/python -m bench.agp

bench-compare: setup ## ratios of two results: A=old.json B=new.json, or the last two
	$(BIN)/python -m bench.load compare $(A) $(B)

FUZZ_SECONDS ?= 30

fuzz: setup ## fuzz every parser for FUZZ_SECONDS (30) each; needs atheris, which it tries to install
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/pip install --quiet 'atheris>=2.3,<4' || true
	$(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS)

FUZZ_HOURS ?= 8

fuzz-long: setup ## fuzz the forwarding loop, compiled beside pure, for FUZZ_HOURS (8); with atheris if it is there
	$(BIN)/python tests/fuzz/run.py --hours $(FUZZ_HOURS) loop

ASAN_EXECUTIONS ?= 200000

asan: setup ## build the hot path with AddressSanitizer and UBSan; run its tests and ASAN_EXECUTIONS (200000) through it
	$(BIN)/python scripts/asan.py --executions $(ASAN_EXECUTIONS)

fuzz-api: setup ## send 20,000 requests of every shape to a live API; about 8 minutes
	$(BIN)/pytest tests/scenarios/test_api_fuzz.py -q -m slow

proto: ## generate agpd/_proto from proto/ with grpcio-tools 1.70.0, in a virtual environment of its own
	PYTHON="$(PYTHON)" sh scripts/proto.sh

wheels: setup ## build wheels into dist/ with each of Python 3.11, 3.12 and 3.13 that is here
	$(BIN)/python scripts/wheels.py

clean: ## remove what was built
	rm -rf $(VENV) agpd/hotpath/*.so bench/peers/.venvs tests/interop/.venvs site dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
