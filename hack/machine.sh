#!/bin/bash
# machine.sh
#
# Prints the machine that containers get on this host, as guest/kernel/build.sh names
# it: who only wants to see one run need not wait for the kernels of the others.
set -euo pipefail
cd "$(dirname "$0")/.."

# The check fails while there is no kernel.
kvm() { { bin/kata check --json || true; } | tr -d ' \n' | grep -q '"name":"kvm","optional":false,"works":true'; }

case $(uname -m) in
aarch64) echo arm64 ;;
*) if command -v qemu-system-x86_64 >/dev/null && kvm; then echo x86_64; else echo uml; fi ;;
esac
