# Sourced by the ensure scripts: install a package by whatever this machine has,
# without a question. The names differ, so each caller gives one per manager.

say() { echo "$*" >&2; }

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo -n "$@" || { say "could not run as root without a password: $*"; return 1; }
	else
		say "not root and no sudo; run this yourself: $*"
		return 1
	fi
}

# install_package APT DNF APK PACMAN BREW
install_package() {
	if command -v apt-get >/dev/null; then
		# An index that is old but there may still do; a failure shows below.
		as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 || true
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $1 >&2
	elif command -v dnf >/dev/null; then
		as_root dnf install -y -q $2 >&2
	elif command -v apk >/dev/null; then
		as_root apk add --no-cache -q $3 >&2
	elif command -v pacman >/dev/null; then
		as_root pacman -S --noconfirm --needed $4 >&2
	elif command -v brew >/dev/null; then
		HOMEBREW_NO_AUTO_UPDATE=1 NONINTERACTIVE=1 brew install "$5" >&2
	else
		say "no package manager known here (apt-get, dnf, apk, pacman, brew)"
		return 1
	fi
}
