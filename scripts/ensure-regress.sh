#!/bin/sh
# Makes sure that PostgreSQL's regression tests, of the server's major version, are on this
# machine, and prints their folder. They are part of its source only: of the
# distribution's source package where there is one, else of PostgreSQL's own archive.
# Nothing is installed; they are kept in the user's cache.
set -eu
. "$(dirname "$0")/install-package.sh"

server=$(sh "$(dirname "$0")/ensure-postgres.sh")
version=$("$server/postgres" -V | sed 's/[^0-9]*\([0-9.]*\).*/\1/')
keep=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/sluice/postgresql-$version
tests=$keep/src/test/regress

# A source list of our own, so that the system's stays as it is.
from_apt() {
	command -v apt-get >/dev/null || return 1
	mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/parts"
	for f in /etc/apt/sources.list.d/*.sources; do
		[ -e "$f" ] && sed 's/^Types:.*/Types: deb-src/' "$f" >"$work/parts/$(basename "$f")"
	done
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -e "$f" ] && sed -n 's/^deb /deb-src /p' "$f" >"$work/parts/$(basename "$f" .list).list"
	done
	set -- -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/parts" \
		-o Dir::State::lists="$work/lists" -o Dir::Cache="$work" -o Dir::Cache::archives="$work/archives"
	apt-get "$@" update >&2 || true # one that fails may not be the one that is needed
	source=postgresql-${version%%.*}
	package=$(apt-cache "$@" showsrc "$source" | sed -n "s/^Version: \($version-.*\)/\1/p" | head -n 1)
	(cd "$work" && apt-get "$@" source --download-only "$source${package:+=$package}" >&2) || return 1
	archive=$(ls "$work"/postgresql-*.orig.tar.* 2>/dev/null | head -n 1)
	[ -n "$archive" ]
}

from_archive() {
	command -v curl >/dev/null || return 1
	archive=$work/source.tar.bz2
	curl -fsSL -o "$archive" "https://ftp.postgresql.org/pub/source/v$version/postgresql-$version.tar.bz2"
}

if [ ! -e "$tests/parallel_schedule" ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	chmod 755 "$work" # apt reads it as another user
	from_apt || from_archive || {
		say "the regression tests of PostgreSQL $version could not be had: neither its source package nor its archive can be reached"
		say "hint: unpack its source at $keep yourself, or run the other suites: make conformance ONLY=pgx"
		exit 1
	}
	mkdir -p "$keep"
	tar -xf "$archive" -C "$keep" --strip-components=1 --wildcards '*/src/test/regress'
fi
echo "$tests"
