# make           the commands, into bin/; needs nothing but Go
# make guest     what a machine boots: kernels and agent, into bin/guest/
# make qemu      a QEMU that has what machines need and no more, into bin/guest/
# make guest-arm64       the same for machines of another architecture, by emulation
# make demo      containers in machines, shown and checked
# make test      everything that must hold
# make test-engines      real engines, started by the tests
# make test-emulation    the same containers in emulated machines; takes long
# make conformance-oci   the OCI's validation programs, beside runc
# make bench     the numbers, with other runtimes measured in the same run
# make install   below $(DESTDIR)$(PREFIX), configuration below $(DESTDIR)$(SYSCONFDIR)

PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR    ?=
# The machines to build kernels for.
MACHINES   ?= $(if $(filter aarch64,$(shell uname -m)),arm64,uml x86_64)
VERSION    ?= $(shell git describe --always --dirty 2>/dev/null || echo unknown)

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:

# Static and without build paths: the same source gives the same bytes, and
# they run on any Linux.
export CGO_ENABLED := 0
GOBUILD := go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)'

# The agent is a guest file, not a command of the host.
COMMANDS := $(filter-out ./cmd/kata-agent,$(patsubst %,./%,$(wildcard cmd/*)))

say = @printf '==> %s\n' '$(1)' >&2

# Two set-ups or two builds at once would only get into each other's way.
.NOTPARALLEL:
.PHONY: all guest guest-arm64 qemu demo test test-engines test-emulation conformance-oci bench lint fmt install clean

all:
	$(call say,building the commands)
	$(GOBUILD) -o bin/ $(COMMANDS)

setup-%:
	@hack/setup.sh $*

# Files are linked into place with a rename, never written: a machine may be
# running from them.
guest: setup-build
	$(call say,building the guest)
	mkdir -p bin/guest
	for machine in $(MACHINES); do
		kernel=$$(guest/kernel/build.sh $$machine)
		cp --remove-destination "$$kernel" bin/guest/linux-$$machine
	done
	GOOS=linux $(GOBUILD) -o bin/guest/kata-agent ./cmd/kata-agent

# Apart, because its kernel takes some more minutes, and because the host needs
# another compiler for it.
guest-arm64: setup-build setup-arm64
	$(call say,building the guest for arm64)
	mkdir -p bin/guest
	kernel=$$(guest/kernel/build.sh arm64)
	cp --remove-destination "$$kernel" bin/guest/linux-arm64
	GOOS=linux GOARCH=arm64 $(GOBUILD) -o bin/guest/kata-agent-arm64 ./cmd/kata-agent

# QEMU with what machines need and no more. It is used where it is; else the
# distribution's is.
qemu: setup-build setup-qemu
	$(call say,building QEMU)
	mkdir -p bin/guest
	program=$$(packaging/qemu/build.sh)
	cp --remove-destination "$$program" bin/guest/

# A first look waits for one kernel only.
demo: MACHINES = $(shell hack/machine.sh)
demo: setup-demo all guest
	@test/demo/demo.sh

lint:
	$(call say,gofmt)
	unformatted=$$(gofmt -l .)
	[ -z "$$unformatted" ] || { echo "not formatted (run make fmt):"; echo "$$unformatted"; exit 1; } >&2
	$(call say,go vet)
	go vet ./...
	GOARCH=arm64 go vet ./...
	$(call say,staticcheck)
	go tool staticcheck ./...

fmt:
	gofmt -w .

# What runs machines comes last and one package at a time: those tests measure
# times, and disturb each other. Their results depend on more than Go's cache knows.
test: setup-test all guest lint
	$(call say,go test: packages)
	go test $$(go list ./... | grep -v '^kata/test/') 2>&1 | tee bin/test.log
	$(call say,go test: packages of the guest (arm64 under emulation))
	GOARCH=arm64 go test -exec qemu-aarch64 ./agent/... ./channel/... ./guest/... 2>&1 | tee -a bin/test.log
	$(call say,go test: machines (one package at a time))
	go test -count=1 -p 1 -timeout 30m $$(go list ./test/... | grep -v '/engines$$') 2>&1 | tee -a bin/test.log

test-engines: setup-engines all guest
	$(call say,go test: engines)
	go test -count=1 -timeout 15m ./test/engines 2>&1 | tee bin/engines.log

# What make test runs with the best machine of the host, with QEMU's emulation; and
# machines of another architecture.
test-emulation: setup-test setup-emulation all guest guest-arm64 qemu
	$(call say,go test: emulated machines)
	KATA_TEST_HYPERVISOR=qemu go test -count=1 -timeout 60m ./test/e2e 2>&1 | tee bin/emulation.log
	go test -count=1 -timeout 15m ./vm/qemu 2>&1 | tee -a bin/emulation.log

conformance-oci: setup-test all guest
	$(call say,OCI validation programs with runc and with kata-runtime)
	go build -o bin/conformance-oci ./test/conformance
	programs=$$(test/conformance/build.sh)
	bin/conformance-oci -programs "$$programs" 2>&1 | tee bin/conformance.log

bench: setup-bench all guest qemu
	$(call say,measuring)
	go run ./test/bench -json bin/bench.json -svg docs/bench.svg

install: all guest
	$(call say,installing below $(DESTDIR)$(PREFIX))
	root='$(DESTDIR)$(PREFIX)'
	install -D -t "$$root/bin" bin/kata bin/kata-runtime
	install -D -t "$$root/libexec/kata" bin/kata-proxy bin/kata-shim
	install -D -t "$$root/share/kata" bin/guest/*
	# An administrator's settings are not ours to overwrite.
	conf='$(DESTDIR)$(SYSCONFDIR)/kata/configuration.toml'
	[ -e "$$conf" ] || install -D -m 644 packaging/configuration.toml "$$conf"

clean:
	rm -rf bin
