#!/bin/bash
# build.sh
#
# Builds the validation programs of the OCI's runtime-tools into the cache, unless
# they are there, and prints their directory: programs in bin/, and what they put
# into a container's root beside it. Go's checksum database verifies the source.
set -euo pipefail
. "$(dirname "$0")/../../hack/lib.sh"

# The last tag, v0.9.0, is older than Go modules and than version 1.3 of the specification.
module=github.com/opencontainers/runtime-tools@v0.9.1-0.20251114084447-edf4cb3d2116
dir=$KATA_CACHE/conformance/runtime-tools-${module#*@}

if [ ! -d "$dir" ]; then
	say "building $module (some minutes the first time)"
	mkdir -p "${dir%/*}"
	work=$(mktemp -d "${dir%/*}/.build-XXXXXX")
	trap 'rm -rf "$work"' EXIT
	source=$(cd "$work" && go mod download -json "$module" | sed -n 's/.*"Dir": "\(.*\)",/\1/p')
	# The module's files are read-only, and so is the directory; Go wants to write there.
	cp -r --no-preserve=mode "$source" "$work/source"
	mkdir -p "$work/result/bin"
	(
		cd "$work/source"
		export CGO_ENABLED=0 GOFLAGS='-mod=mod -buildvcs=false'
		go build -p 2 -tags netgo -o "$work/result/runtimetest" ./cmd/runtimetest
		go build -p 2 -o "$work/result/bin/" $(go list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' ./validation/...)
	) >&2
	cp "$work/source/rootfs-amd64.tar.gz" "$work/result/"
	mv "$work/result" "$dir"
fi
echo "$dir"
