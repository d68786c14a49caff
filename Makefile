# One command for each thing. Everything here works on a fresh machine with Go,
# git, make and a package manager; nothing asks a question.

GO       ?= go
PLATFORMS = linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
# The slowest package starts several PostgreSQL servers under the race detector.
TIMEOUT  ?= 25m
BENCH    ?= .

.PHONY: build demo test fuzz soak audit-scale lineage-scale conformance idp mcp cross bench lint fmt vet check vuln postgres compiler python tmux clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/sluice .

# The whole product on this machine: a sample database, an identity provider, the
# gateway, a login, a tunnel. On a terminal it waits for you, else it tours itself.
demo: postgres build
	./bin/sluice demo

test: postgres compiler python tmux vet
	CGO_ENABLED=1 $(GO) test -race -timeout $(TIMEOUT) ./...
	$(MAKE) cross

# Every decoder with made-up input, FUZZTIME each; `make test` runs only their seeds.
# Then made statements on a real server, DIFFER each for what they change and for where
# their values come from (internal/differ), and through a gateway for whether personal
# data comes out (internal/leak).
# FUZZ=FuzzReceive runs one. What fails is kept in testdata/fuzz: fix it, commit both.
FUZZTIME ?= 10s
FUZZ     ?= .
DIFFER   ?= 1m

fuzz: postgres
	@list=$$($(GO) test -list '^Fuzz' ./...) || { echo "$$list"; exit 1; }; \
	echo "$$list" | awk '/^Fuzz/ { names[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, names[i]; n = 0 }' | \
	{ grep -E -- '$(FUZZ)' || { echo "no fuzz target is named like $(FUZZ)" >&2; echo none; }; } | \
	while read -r package name; do \
		test "$$package" != none || exit 1; \
		echo "$$name in $$package"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" || exit 1; \
	done
	$(GO) test -count=1 -v -timeout 0 ./internal/differ -fuzzfor $(DIFFER)
	$(GO) test -count=1 -v -timeout 0 -run MadeStatements ./internal/leak -leakfor $(DIFFER)

# Two thousand sessions at once, then half an hour of honest work and trouble on the
# whole product. SOAK=5m for less.
SOAK ?= 30m

soak: postgres compiler
	$(GO) test -count=1 -v -timeout $(TIMEOUT) -run '^TestCrowd$$' ./gateway -crowd 2000
	CGO_ENABLED=1 $(GO) test -race -count=1 -v -timeout 0 ./internal/soak -for $(SOAK)

# A record of EVENTS entries, and how long each question of an auditor takes over it
# (docs/record.md). Takes EVENTS kilobytes of disk, and a few minutes.
EVENTS ?= 10000000
ROUNDS ?= 7

audit-scale:
	$(GO) test -count=1 -v -timeout 0 -run '^TestScale$$' ./audit/index -events $(EVENTS) -rounds $(ROUNDS)

# The lineage of a million statements folded, and asked; docs/lineage.md.
STATEMENTS ?= 1000000

lineage-scale:
	$(GO) test -count=1 -v -timeout 0 -run '^TestScale$$' ./lineage/store -statements $(STATEMENTS)

# The grammar held against PostgreSQL's own parser, then other people's tests, straight
# at PostgreSQL and through Sluice; docs/conformance.md.
# ONLY=pgx runs one suite.
ONLY ?=

conformance: postgres
	REGRESS="$$(case regress in $(ONLY)*) sh scripts/ensure-regress.sh ;; esac)" && export REGRESS && \
	$(GO) test -tags conformance -count=1 -v -timeout 0 -run '^TestOracle$$' ./query && \
	$(GO) test -tags conformance -count=1 -v -timeout 0 -run 'TestConformance/$(ONLY)' ./internal/conformance

# A person's day with an identity provider that others wrote, in a real browser: login,
# renewal, the end of it, device code. Needs node, npm and Chromium, which it installs.
idp: postgres
	IDP_MODULES="$$(sh scripts/ensure-idp.sh)" && export IDP_MODULES && \
	$(GO) test -tags idp -count=1 -v -run '^TestProviderOfOthers' ./cmd

# An agent's day with a client of the Model Context Protocol that others wrote. Needs node
# and npm, and installs its SDK.
mcp: postgres
	MCP_MODULES="$$(sh scripts/ensure-mcp.sh)" && export MCP_MODULES && \
	$(GO) test -tags mcp -count=1 -v -run '^TestClientOfOthers' ./cmd

# What a release is built from must compile everywhere, without a C compiler.
cross:
	@set -e; for p in $(PLATFORMS); do \
		echo "build $$p"; \
		CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -o /dev/null ./...; \
	done

# Whole processes side by side with what people use today, then the parts by
# themselves. PEERS="-quick -only simple" and the like choose; see docs/performance.md.
bench: postgres
	@sh scripts/ensure-peers.sh
	$(GO) run ./internal/bench $(PEERS)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

vet:
	$(GO) vet ./...

fmt:
	@files=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	if [ -n "$$files" ]; then echo "not formatted (gofmt -w):"; echo "$$files"; exit 1; fi

# The rules of our own are tests (lint_test.go, imports_test.go). staticcheck is
# built on first use, half a minute on two cores. golangci-lint would take many, so
# it adds its set only where it is installed.
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

lint: fmt vet
	$(GO) run $(STATICCHECK) ./...
	$(GO) test -count=1 -run 'TestHouseRules|TestImports|TestForbiddenImports' .
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "golangci-lint is not installed: its rules were not run"; fi

check: lint test

# Needs the Go vulnerability database, which is on the network.
vuln:
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

postgres:
	@sh scripts/ensure-postgres.sh

# The race detector needs cgo, and cgo a compiler. Only tests do.
compiler:
	@sh scripts/ensure-compiler.sh

# The record has a second verifier, in another language, which a test runs.
python:
	@sh scripts/ensure-python.sh

# A test drives the approvals screen in it, and is left out where it cannot be had.
tmux:
	@sh scripts/ensure-tmux.sh

clean:
	rm -rf bin dist
