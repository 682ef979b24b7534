#!/bin/bash
# Containers in virtual machines of their own: run, shown and checked. The first
# run makes two images (Debian's busybox, and a Debian system with Python) and
# keeps them in the cache. Ends with PASS or FAIL, and exits accordingly.
set -euo pipefail
cd "$(dirname "$0")/../.."
. hack/lib.sh

images=$KATA_CACHE/demo
mkdir -p "$images"
work=$(mktemp -d "$images/tmp.XXXXXX")
trap 'rm -rf "$work"' EXIT

heading() { printf '\n== %s\n' "$*"; }

failures=0
check() { # WHAT EXPECTED ACTUAL
	if [ "$2" = "$3" ]; then
		printf '  ok    %s: %s\n' "$1" "$3"
	else
		printf '  WRONG %s: expected %s, got %s\n' "$1" "$2" "${3:-nothing}"
		failures=$((failures + 1))
	fi
}

# kata runs a container. Software isolation is asked for by name, because it is
# the weaker one; it is what works on any machine.
kata() { bin/kata run --rm --isolation software --timing "$@"; }

# image NAME prints the path of an image whose root filesystem the function
# rootfs_NAME makes. What it is made from and by names it, so it is made once.
image() {
	local tar key
	key=$({ declare -f "rootfs_$1" && cat hack/mkimage/main.go image/{build,pack}.go "$busybox" /etc/os-release; } | sha256sum | cut -c1-16)
	tar=$images/$1-$key.tar
	if [ ! -e "$tar" ]; then
		say "making the image $1 (kept in the cache)"
		"rootfs_$1" "$work/$1" >&2
		go run ./hack/mkimage "$work/$1" "$work/$1.tar"
		mv "$work/$1.tar" "$tar"
	fi
	echo "$tar"
}

busybox=$(command -v busybox)

rootfs_busybox() {
	mkdir -p "$1"/{bin,dev,etc,proc,root,run,sys,tmp}
	cp "$busybox" "$1/bin/busybox"
	echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
	for applet in $("$busybox" --list); do
		[ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"
	done
}

rootfs_debian() {
	# How this machine reaches its mirror is of no interest to the image.
	apt_transport >"$work/apt.conf"
	mmdebstrap --variant=essential --include=python3-minimal --aptopt="$work/apt.conf" \
		--dpkgopt='path-exclude=/usr/share/{doc,man,locale}/*' \
		"$(. /etc/os-release && echo "$VERSION_CODENAME")" "$1" "$(debian_mirror)"
	# Devices are the runtime's to make.
	rm -rf "$1"/dev/* "$1/etc/apt/apt.conf.d/99mmdebstrap"
}

heading "A container with a kernel of its own"
small=$(image busybox)
echo "host:  $(uname -srm)"
echo "guest:"
kata "$small" sh -c 'uname -srm; echo "pid $$ of $(ls -d /proc/[0-9]* | wc -l) processes"; free -m | head -2' |
	tee "$work/out" | sed 's/^/  /'
guest=$(sed -n 's/^Linux \([^ ]*\) .*/\1/p' "$work/out")
check "the guest's kernel is ours" kata "${guest##*-}"
check "the container's first process" 1 "$(sed -n 's/^pid \([0-9]*\) .*/\1/p' "$work/out")"
status=0
kata "$small" sh -c 'exit 42' 2>/dev/null || status=$?
check "its exit code arrives" 42 "$status"

heading "Debian and Python, computing on a file of the host"
large=$(image debian)
# Other numbers every time: no answer could have been prepared.
numbers=$work/numbers
shuf -i 2-1000000 -n 100000 >"$numbers"
program='
import hashlib
data = open("/numbers", "rb").read()
numbers = [int(n) for n in data.split()]
sieve = bytearray([1]) * 1000001
for i in range(2, 1001):
    if sieve[i]:
        sieve[i*i::i] = bytes(len(range(i*i, 1000001, i)))
print("sha256", hashlib.sha256(data).hexdigest())
print("sum", sum(numbers))
print("primes", sum(sieve[n] for n in numbers))
try:
    open("/numbers", "a")
    print("file writable")
except OSError:
    print("file read-only")
'
kata -v "$numbers:/numbers:ro" "$large" python3 -c "$program" >"$work/out"
said() { sed -n "s/^$1 //p" "$work/out"; }
check "sha256" "$(sha256 "$numbers")" "$(said sha256)"
check "sum of 100000 numbers" "$(awk '{ s += $1 } END { printf "%.0f", s }' "$numbers")" "$(said sum)"
check "primes among them" "$(factor <"$numbers" | awk 'NF == 2' | wc -l)" "$(said primes)"
check "the file, in the container" read-only "$(said file)"

heading "$([ $failures = 0 ] && echo PASS || echo "FAIL: $failures of the checks above")"
exit $((failures > 0))
