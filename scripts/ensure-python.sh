#!/bin/sh
# Makes sure there is Python 3, in which the second verifier of the record is written.
set -eu
. "$(dirname "$0")/install-package.sh"

command -v zstd >/dev/null || {
	say "no zstd found: installing it for packed segments in the second verifier"
	install_package zstd zstd zstd zstd zstd || say "hint: install zstd; tests of packed segments fail without it"
}
if command -v python3 >/dev/null; then exit 0; fi
say "no Python 3 found: installing it for the second verifier of the record"
install_package python3 python3 python3 python3 python3 || {
	say "hint: install Python 3, then run this again"
	exit 1
}
