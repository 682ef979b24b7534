#!/bin/bash
# build.sh MACHINE [--tarball FILE] [--update]
#
# Builds the kernel that a MACHINE boots and prints its path. The source is
# Debian's newest linux-source, verified by apt, or a tarball given by --tarball
# or KATA_KERNEL_TARBALL (checked against KATA_KERNEL_SHA256 if that is set).
# The result is kept in the cache under a hash of all that went into it: a second
# run takes no time and no network. Which source "Debian's newest" is, is
# resolved once and then pinned in the cache; --update resolves it again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../hack/lib.sh"

usage="usage: build.sh MACHINE [--tarball FILE] [--update]; machines: uml, x86_64, arm64"
machine=${1:-} tarball=${KATA_KERNEL_TARBALL:-} update=
[ $# -eq 0 ] || shift
while [ $# -gt 0 ]; do
	case $1 in
	--tarball) tarball=${2:?$usage} && shift ;;
	--update) update=yes ;;
	*) die "unknown argument $1; $usage" ;;
	esac
	shift
done

# The machines: the kernel's name for the architecture, what to make, what that makes;
# and the prefix of the compiler, where another than the host's is needed.
cross=
case $machine in
uml) arch=um target=linux output=linux ;;
# Uncompressed: an emulated CPU is slow at decompression, and QEMU enters the ELF file directly.
x86_64) arch=x86_64 target=vmlinux output=vmlinux ;;
# Not the ELF file: QEMU hands the device tree to a kernel in the format of the boot protocol only.
arm64)
	arch=arm64 target=Image output=arch/arm64/boot/Image
	[ "$(uname -m)" = aarch64 ] || cross=aarch64-linux-gnu-
	;;
*) die "unknown machine '$machine'; $usage" ;;
esac

# Counts up when this script makes something else of the same inputs.
recipe=1

# Older kernels break as a user process where the CPU's extended state is large (AMX).
oldest=7.0

kernels=$KATA_CACHE/kernel pin=$KATA_CACHE/kernel/source
fragments=("$here/config/common.config" "$here/config/$machine.config")
# A patch is for the architecture in its name.
shopt -s nullglob
patches=("$here"/patches/*-$arch-*.patch)
shopt -u nullglob
mkdir -p "$kernels" "$KATA_CACHE/dl"

for tool in gcc make flex bison bc patch xz; do
	command -v $tool >/dev/null || die "$tool is missing; run hack/setup.sh build"
done
command -v ${cross}gcc >/dev/null || die "${cross}gcc is missing; run hack/setup.sh $machine"

# lock lets one build at a time run: two would only slow each other down.
lock() {
	exec 9>"$kernels/lock"
	flock -n 9 || { say "waiting for another build to end" && flock 9; }
}

# resolve pins Debian's newest kernel source: package, version and hash.
resolve() (
	say "asking Debian for its newest kernel source"
	private_apt "$KATA_CACHE/apt/sid" sid
	package=$(apt-cache depends linux-source | awk '/Depends:/ { print $2; exit }')
	apt-cache show --no-all-versions "${package:?no linux-source in the index}" |
		awk '/^(Package|Version|SHA256):/ { v[$1] = $2 } END { print v["Package:"], v["Version:"], v["SHA256:"] }' >"$pin.new"
	mv "$pin.new" "$pin"
	say "pinned $(cut -d' ' -f1,2 "$pin")"
)

# identify sets what stands for the source in the hash, without fetching it.
identify() {
	if [ -n "$tarball" ]; then
		[ -r "$tarball" ] || die "cannot read the kernel tarball $tarball"
		sum=$(sha256 "$tarball")
		[ "${KATA_KERNEL_SHA256:=$sum}" = "$sum" ] || die "$tarball has sha256 $sum, not $KATA_KERNEL_SHA256"
		say "source: $tarball, sha256 $sum"
	else
		if [ -n "$update" ] || [ ! -s "$pin" ]; then lock && resolve; fi
		read -r package version sum <"$pin"
		deb=$KATA_CACHE/dl/${package}_${version//:/%3a}_all.deb
	fi
}

# fetch makes sure that the pinned package is in the cache, and that it is the pinned one.
fetch() {
	if [ ! -e "$deb" ]; then
		say "downloading $package $version"
		(
			private_apt "$KATA_CACHE/apt/sid" sid
			mkdir -p "$work/dl" && cd "$work/dl"
			apt-get -q download "$package=$version" >&2 ||
				die "the mirror no longer has $package $version; run with --update"
			mv ./*.deb "$deb"
		)
	fi
	[ "$(sha256 "$deb")" = "$sum" ] || die "$deb does not have the pinned sha256 $sum; remove it"
}

unpack() {
	say "unpacking the source"
	mkdir "$work/src"
	if [ -n "$tarball" ]; then
		tar -xf "$tarball" -C "$work/src" --strip-components=1
	else
		dpkg-deb --fsys-tarfile "$deb" | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
			tar -xJ -C "$work/src" --strip-components=1
	fi
	release=$(awk '/^(VERSION|PATCHLEVEL|SUBLEVEL) =/ { printf "%s%s", dot, $3; dot = "." }' "$work/src/Makefile")
	[ "$(printf '%s\n' $oldest "$release" | sort -V | head -1)" = $oldest ] ||
		die "the source is Linux ${release:-of unknown version}; $oldest or newer is needed"
	for p in "${patches[@]}"; do
		patch -d "$work/src" -p1 --forward --silent <"$p" >&2 || die "${p##*/} does not apply to Linux $release"
	done
}

kmake() { make -C "$work/src" O="$work/out" ARCH=$arch CROSS_COMPILE=$cross "$@"; }

# configure merges the fragments, and fails if Kconfig dropped any of what they
# ask for: a container would find out much later, and not say so.
configure() {
	say "configuring Linux $release for $machine"
	mkdir "$work/out"
	{
		kmake tinyconfig &&
			"$work/src/scripts/kconfig/merge_config.sh" -m -O "$work/out" "$work/out/.config" "${fragments[@]}" &&
			kmake olddefconfig
	} >"$work/log" 2>&1 || { cat "$work/log" >&2 && die "cannot configure"; }
	lost=$(awk '
		/^CONFIG_/               { key = $0; sub(/=.*/, "", key); value = substr($0, length(key) + 2) }
		/^# CONFIG_.* is not set/ { key = $2; value = "n" }
		key == ""                { next }
		FNR == NR                { have[key] = value }
		FNR != NR                { want[key] = value }
		                         { key = "" }
		END { for (k in want) { h = (k in have) ? have[k] : "n"; if (h != want[k]) print "  " k "=" want[k] ", but it is " h } }
	' "$work/out/.config" "${fragments[@]}" | sort)
	[ -z "$lost" ] || die "Kconfig did not keep what config/ asks for (a dependency is missing, or the name is wrong):"$'\n'"$lost"
}

compile() {
	say "compiling Linux $release for $machine on $(nproc) CPUs: some minutes"
	# The same inputs give the same bytes: no clock, user or host of this build in them.
	export KBUILD_BUILD_USER=kata KBUILD_BUILD_HOST=kata KBUILD_BUILD_VERSION=1
	KBUILD_BUILD_TIMESTAMP=$(LC_ALL=C date -u -r "$work/src/Makefile")
	export KBUILD_BUILD_TIMESTAMP
	local steps=0 line
	kmake -j"$(nproc)" $target 2>&1 | tee "$work/log" | while read -r line; do
		((++steps % 250)) || say "$steps steps: $line"
	done || { tail -n 30 "$work/log" >&2 && die "the kernel does not compile"; }
}

identify
inputs=$({ echo "$machine $sum $recipe" && ${cross}gcc --version | head -1 && sha256 "${fragments[@]}" "${patches[@]}"; } | sha256sum | cut -d' ' -f1)
result=$kernels/$inputs
[ -e "$result/linux" ] || lock
# Another build may have made it while this one waited.
if [ ! -e "$result/linux" ]; then
	work=$(mktemp -d "$kernels/build.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	[ -n "$tarball" ] || fetch
	unpack
	configure
	compile
	mkdir "$work/result"
	if [ $target = Image ]; then
		cp "$work/out/$output" "$work/result/linux"
	else
		strip -o "$work/result/linux" "$work/out/$output"
	fi
	cp "$work/out/.config" "$work/result/config"
	echo "$release" >"$work/result/source-version"
	mv -T "$work/result" "$result"
	say "built Linux $release for $machine, $(du -h "$result/linux" | cut -f1)"
fi
echo "$result/linux"
