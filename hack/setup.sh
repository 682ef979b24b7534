#!/bin/bash
# setup.sh GROUP...
#
# Installs what a Debian 12 host lacks to build, test, demo or bench this tree;
# Go, git and make are assumed. When nothing is missing it needs neither the
# network nor root.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

# A package, or package:command where the command may come from elsewhere: engines
# ship their own runc, and Debian's would replace them.
packages() {
	case $1 in
	build) echo flex bison bc patch libelf-dev xz-utils cpio gcc make libc6-dev ca-certificates ;;
	test) echo busybox-static iproute2 procps jq runc:runc crun:crun ca-certificates qemu-system-x86:qemu-system-x86_64 qemu-system-common qemu-user:qemu-aarch64 ;;
	qemu) echo gcc make libc6-dev patch xz-utils meson ninja-build pkg-config python3 libglib2.0-dev libpixman-1-dev libseccomp-dev libcap-ng-dev libattr1-dev libfdt-dev zlib1g-dev qemu-system-data ;;
	arm64) echo gcc-aarch64-linux-gnu:aarch64-linux-gnu-gcc ;;
	emulation) echo qemu-system-arm:qemu-system-aarch64 ;;
	demo) echo busybox-static mmdebstrap ca-certificates ;;
	bench) echo busybox-static procps jq runc:runc crun:crun ;;
	engines) echo busybox-static iproute2 iptables mmdebstrap procps podman runc:runc crun:crun catatonit conmon containernetworking-plugins ;;
	*) die "unknown group '$1'; usage: setup.sh build|qemu|arm64|test|emulation|demo|bench|engines..." ;;
	esac
}

# runsc (gVisor) goes to the cache, not to the system: it is only a peer to
# compare with. Debian's package, built with a newer Go than it was written for,
# ends in a panic with programs of several threads; so it is built from its module.
runsc() (
	version=v0.0.0-20260905035102-160fafc42237
	bin=$KATA_CACHE/peers/runsc-$version
	mkdir -p "${bin%/*}"
	if [ ! -x "$bin" ]; then
		say "building runsc to compare with (some minutes)"
		work=$(mktemp -d)
		trap 'rm -rf "$work"' EXIT
		if ! GOBIN=$work GOFLAGS= CGO_ENABLED=0 go install -p 2 -ldflags '-s -w' "gvisor.dev/gvisor/runsc@$version" >&2; then
			say "skipped: runsc does not build here; benchmarks will do without"
			exit 0
		fi
		mv "$work/runsc" "$bin"
	fi
	ln -sfn "${bin##*/}" "$KATA_CACHE/peers/runsc"
)

# Docker Engine as Debian's sid has it, which is newer than the host's. It goes to the
# cache, not to the system: its programs need nothing but glibc.
docker() (
	dir=$KATA_CACHE/peers/docker
	[ ! -x "$dir/usr/sbin/dockerd" ] || exit 0
	say "fetching Docker Engine to test with"
	mkdir -p "${dir%/*}"
	work=$(mktemp -d "$dir.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	private_apt "$work/apt" sid
	mkdir "$work/debs"
	(cd "$work/debs" && apt-get -qq download docker.io docker-cli docker-compose containerd >&2) || die "cannot download Docker Engine"
	for deb in "$work"/debs/*.deb; do dpkg -x "$deb" "$work/root"; done
	rm -rf "$dir"
	mv "$work/root" "$dir"
)

# A program for arm64 that needs no other file, to run by emulation.
busybox_arm64() (
	file=$KATA_CACHE/arm64/busybox
	[ ! -x "$file" ] || exit 0
	say "fetching a busybox for arm64 to test with"
	mkdir -p "${file%/*}"
	work=$(mktemp -d "$file.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	private_apt "$work/apt" "$(. /etc/os-release && echo "$VERSION_CODENAME")" arm64
	cd "$work"
	apt-get -qq download busybox-static >&2 || die "cannot download busybox-static for arm64"
	dpkg -x ./*.deb root
	mv root/bin/busybox "$file" 2>/dev/null || mv root/usr/bin/busybox "$file"
)

# Debian's runc is in sbin, which an ordinary user's PATH lacks.
PATH=$PATH:/usr/sbin:/sbin
[ $# -gt 0 ] || packages ""
wanted=$(for group; do packages "$group"; done | tr ' ' '\n' | sort -u)
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
missing=()
for want in $wanted; do
	package=${want%:*} command=${want#"${want%:*}"}
	grep -qxF "$package" <<<"$installed" && continue
	[ -n "$command" ] && command -v "${command#:}" >/dev/null && continue
	missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
	say "installing ${missing[*]}"
	[ "$(id -u)" = 0 ] || die "this needs root; or install them yourself"
	export DEBIAN_FRONTEND=noninteractive
	# --no-remove: a set-up that uninstalls something is not what was asked for.
	install() { apt-get -qq update >&2 && apt-get install -yq --no-install-recommends --no-remove "${missing[@]}" >&2; }
	# Clean-up hooks of some images race with apt for its archives; a second try gets past that.
	install || { say "trying once more" && install; } || die "cannot install ${missing[*]}"
fi

for group; do
	case $group in
	bench) runsc ;;
	engines)
		docker
		"$(dirname "$0")/../test/engines/debian.sh" >/dev/null
		;;
	emulation) busybox_arm64 ;;
	esac
done
