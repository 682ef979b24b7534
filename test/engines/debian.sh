#!/bin/bash
# debian.sh
#
# Makes what a day's work in a container needs, unless the cache has it, and prints
# its directory:
#
#   rootfs/   a Debian system with a C compiler and Redis
#   mirror/   a piece of the mirror of this machine, as apt fetched it: the signed
#             index, and the packages to install in a container
#
# Tests reach no network but their own, so they serve the mirror themselves.
set -euo pipefail
. "$(dirname "$0")/../../hack/lib.sh"

codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# procps, and what it needs beyond the system.
install=(procps libproc2-0 libncursesw6 libncurses6)
dir=$KATA_CACHE/engines/debian-$({ cat "$0"; echo "$codename"; } | sha256sum | cut -c1-16)

rootfs() {
	apt_transport >"$work/apt.conf"
	mmdebstrap --variant=apt --include=gcc,libc6-dev,redis-server,redis-tools \
		--aptopt="$work/apt.conf" --aptopt='APT::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/{doc,man,locale}/*' \
		"$codename" "$work/result/rootfs" "$(debian_mirror)" >&2
	# Devices are the runtime's to make; how this machine reaches its mirror is its own business.
	rm -rf "$work"/result/rootfs/dev/* "$work/result/rootfs/etc/apt/apt.conf.d/99mmdebstrap"
}

# Files have the names that apt asks for.
mirror() (
	private_apt "$work/apt" "$codename"
	arch=$(dpkg --print-architecture)
	dists=$work/result/mirror/dists/$codename
	index=$dists/main/binary-$arch
	mkdir -p "$index/by-hash/SHA256" "$work/result/mirror/pool"
	cp "$work"/apt/state/lists/*_InRelease "$dists/InRelease"
	/usr/lib/apt/apt-helper download-file "$(debian_mirror)/dists/$codename/main/binary-$arch/Packages.xz" "$index/Packages.xz" >&2
	ln "$index/Packages.xz" "$index/by-hash/SHA256/$(sha256 "$index/Packages.xz")"
	for package in "${install[@]}"; do
		file=$work/result/mirror/$(apt-cache show --no-all-versions "$package" | sed -n 's/^Filename: //p')
		mkdir -p "${file%/*}"
		(cd "${file%/*}" && apt-get -qq download "$package" >&2)
		# The archive's names leave out the epoch, apt's do not.
		[ -e "$file" ] || mv "${file%/*}/${package}"_*.deb "$file"
	done
)

if [ ! -d "$dir" ]; then
	say "making a Debian system for containers (some minutes; kept in the cache)"
	mkdir -p "${dir%/*}"
	work=$(mktemp -d "$dir.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	mkdir "$work/result"
	mirror
	rootfs
	mv "$work/result" "$dir"
fi
echo "$dir"
