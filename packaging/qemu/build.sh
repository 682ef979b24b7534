#!/bin/bash
# build.sh
#
# Builds the QEMU that machines need, and no more, and prints its path: Debian's source
# of this host's suite, verified by apt, with the machines, devices and accelerators
# that vm/qemu uses (features, devices.mak). It is one static file: no libraries to load
# at each start, and none to show to a jail. It is compiled twice, the second time with
# what the first one did when it ran a guest. The result is kept in the cache under a hash
# of all that went into it, but for that guest's kernel. Firmware is the distribution's.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../hack/lib.sh"

codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
cache=$KATA_CACHE/qemu
mkdir -p "$cache"

# What vm/qemu uses: emulation and KVM, shares by 9p, the sandbox of system calls,
# devices of the host's kernel for the channel and the network.
features=(tcg kvm virtfs attr cap-ng seccomp vhost-kernel vhost-net vhost-user fdt=system)

[ "$(uname -m)" = x86_64 ] || die "this builds QEMU for hosts and guests of amd64 only; use the distribution's"
for tool in gcc make meson ninja pkg-config python3; do
	command -v $tool >/dev/null || die "$tool is missing; run hack/setup.sh qemu"
done

exec 9>"$cache/lock"
flock -n 9 || { say "waiting for another build to end" && flock 9; }

# The version is asked for once and then kept: a second run needs no network.
source_apt() {
	private_apt "$KATA_CACHE/apt/src-$codename" "$codename"
	sed -i 's/^deb /deb-src /' "$KATA_CACHE/apt/src-$codename/etc/sources.list"
	apt-get -qq update >&2 || die "cannot read the index of $codename's sources"
}

# What a start takes of an emulated machine is translation, so the compiler is shown
# some: the boot of a guest's kernel, which ends where it finds nothing to run.
train() {
	timeout 300 ./qemu-system-x86_64 -machine microvm,acpi=on,pit=on,pic=on,rtc=on,isa-serial=on -accel tcg -cpu max -m 128M \
		-nodefaults -no-user-config -display none -no-reboot -L /usr/share/qemu -bios qboot.rom -kernel "$1" \
		-append "console=ttyS0 panic=-1 pci=off mitigations=off tsc_early_khz=2000000 lpj=10000000 lapic_khz=1000000" \
		-chardev stdio,id=console,signal=off -serial chardev:console </dev/null
	[ -n "$(find . -name '*.gcda' -print -quit)" ] || die "the boot of $1 left no profile"
}

pin=$cache/source-$codename
if [ ! -s "$pin" ]; then
	version=$(source_apt && apt-cache showsrc --only-source qemu | sed -n 's/^Version: //p' | sort -V | tail -1)
	[ -n "$version" ] || die "Debian's $codename has no source of QEMU"
	echo "$version" >"$pin"
fi
version=$(<"$pin")
result=$cache/$({ echo "$version" && gcc --version | head -1 && sha256 "$0" "$here"/*.mak; } | sha256sum | cut -d' ' -f1)

if [ ! -x "$result/qemu-system-x86_64" ]; then
	work=$(mktemp -d "$cache/build.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	say "fetching QEMU $version"
	(
		source_apt
		mkdir "$work/dl" && cd "$work/dl"
		apt-get -qq source --download-only "qemu=$version" >&2 || die "the mirror no longer has QEMU $version; remove $pin"
	)
	say "unpacking it"
	mkdir "$work/src"
	tar -xf "$work"/dl/qemu_*.orig.tar.xz -C "$work/src" --strip-components=1
	tar -xf "$work"/dl/qemu_*.debian.tar.xz -C "$work/src"
	while read -r patch; do
		patch -d "$work/src" -p1 --forward --silent <"$work/src/debian/patches/$patch" >&2 || die "Debian's patch $patch does not apply"
	done < <(sed 's/ *#.*//; /^$/d' "$work/src/debian/patches/series")
	cp "$here/devices.mak" "$work/src/configs/devices/x86_64-softmmu/kata.mak"
	kernel=$("$here/../../guest/kernel/build.sh" x86_64)
	say "compiling it on $(nproc) CPUs, twice: some minutes"
	mkdir "$work/out"
	(
		cd "$work/out" &&
			../src/configure --target-list=x86_64-softmmu --static --without-default-features --without-default-devices \
				--with-devices-x86_64=kata "${features[@]/#/--enable-}" --disable-install-blobs --disable-docs \
				--extra-cflags=-fno-semantic-interposition &&
			meson configure -Db_pgo=generate && ninja qemu-system-x86_64 &&
			train "$kernel" &&
			meson configure -Db_pgo=use && ninja qemu-system-x86_64
	) >"$work/log" 2>&1 || { tail -n 30 "$work/log" >&2 && die "QEMU does not compile"; }
	mkdir "$work/result"
	strip -o "$work/result/qemu-system-x86_64" "$work/out/qemu-system-x86_64"
	mv -T "$work/result" "$result"
	say "built QEMU $version, $(du -h "$result/qemu-system-x86_64" | cut -f1)"
fi
echo "$result/qemu-system-x86_64"
