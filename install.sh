#!/bin/sh
# Installs sluice for the user who runs it, without sudo.
#
#   ./install.sh                 inside a checkout, with Go: builds it
#   curl -fsSL …/install.sh | sh elsewhere: fetches a release and checks its sha256
#
# BINDIR            where the program goes (default: ~/.local/bin)
# SLUICE_VERSION    a release such as v0.3.0 (default: the latest)
# SLUICE_BASE_URL   where releases are (default: the project's releases page)
#
# The whole script is one function called on the last line, so that a download
# cut short does nothing.
set -eu

die() {
	echo "install sluice: $1" >&2
	if [ -n "${2:-}" ]; then echo "hint: $2" >&2; fi
	exit 1
}

fetch() { # URL FILE
	if command -v curl >/dev/null; then
		curl -fsSL --retry 2 --connect-timeout 20 -o "$2" "$1"
	elif command -v wget >/dev/null; then
		wget -q -T 20 -O "$2" "$1"
	else
		die "neither curl nor wget is here" "install one of them"
	fi
}

sha256_of() { # FILE
	if command -v sha256sum >/dev/null; then
		sha256sum "$1" | cut -d ' ' -f 1
	elif command -v shasum >/dev/null; then
		shasum -a 256 "$1" | cut -d ' ' -f 1
	elif command -v openssl >/dev/null; then
		openssl dgst -sha256 -r "$1" | cut -d ' ' -f 1
	else
		die "nothing here can compute a sha256, so the download cannot be checked" "install coreutils or openssl"
	fi
}

place() { # FILE: put it in BINDIR in one step, so that no half program is ever there
	bindir=${BINDIR:-$HOME/.local/bin}
	mkdir -p "$bindir" || die "cannot make $bindir" "set BINDIR to a folder of yours"
	staged=$bindir/.sluice.$$
	cp "$1" "$staged" && chmod 755 "$staged" && mv -f "$staged" "$bindir/sluice" || {
		rm -f "$staged"
		die "cannot write to $bindir" "set BINDIR to a folder of yours"
	}
	echo "installed $bindir/sluice"
	case ":$PATH:" in
	*":$bindir:"*) ;;
	*) echo "hint: $bindir is not on your PATH" ;;
	esac
}

in_checkout() {
	case $0 in
	install.sh | */install.sh) here=$(dirname "$0") ;;
	*) return 1 ;; # read from a pipe
	esac
	[ -f "$here/main.go" ] && grep -q '^module github.com/sluicehq/sluice$' "$here/go.mod" && command -v go >/dev/null
}

build() {
	echo "building from this checkout"
	(cd "$here" && CGO_ENABLED=0 go build -trimpath -o "$work/sluice" .) || die "the build did not succeed"
	place "$work/sluice"
}

download() {
	case $(uname -s) in
	Linux) os=linux ;;
	Darwin) os=darwin ;;
	*) die "no release for $(uname -s) is installed by this script" "take the archive for your system from the releases page" ;;
	esac
	case $(uname -m) in
	x86_64 | amd64) arch=amd64 ;;
	aarch64 | arm64) arch=arm64 ;;
	*) die "there is no release for a $(uname -m) processor" "build it from a checkout, with Go" ;;
	esac
	base=${SLUICE_BASE_URL:-https://github.com/sluicehq/sluice/releases}
	if [ -n "${SLUICE_VERSION:-}" ]; then from=$base/download/$SLUICE_VERSION; else from=$base/latest/download; fi
	# The name carries no version, so that "latest" needs no lookup.
	archive=sluice_${os}_$arch.tar.gz
	fetch "$from/checksums.txt" "$work/checksums.txt" ||
		die "cannot fetch $from/checksums.txt" "is that a released version, and is the network up?"
	want=$(awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }' "$work/checksums.txt")
	case $want in
	*[!0-9a-f]* | '') die "checksums.txt has no single sha256 for $archive" ;;
	esac
	fetch "$from/$archive" "$work/$archive" || die "cannot fetch $from/$archive"
	got=$(sha256_of "$work/$archive")
	[ "$got" = "$want" ] || die "$archive is not what was released: sha256 is $got, should be $want" "nothing was installed; try again, and report it if it stays so"
	tar -xzf "$work/$archive" -C "$work" sluice || die "$archive holds no sluice program"
	place "$work/sluice"
}

main() {
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	trap 'exit 1' HUP INT TERM
	if [ -z "${SLUICE_BASE_URL:-}${SLUICE_VERSION:-}" ] && in_checkout; then build; else download; fi
}

main "$@"
