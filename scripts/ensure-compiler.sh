#!/bin/sh
# Makes sure there is a C compiler, which the race detector needs.
set -eu
. "$(dirname "$0")/install-package.sh"

for cc in "${CC:-cc}" gcc clang; do
	if command -v "$cc" >/dev/null; then exit 0; fi
done
say "no C compiler found: installing one for the race detector"
install_package "gcc libc6-dev" gcc "gcc musl-dev" gcc gcc || {
	say "hint: install gcc or clang, then run this again"
	exit 1
}
