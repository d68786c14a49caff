#!/bin/sh
# Makes sure that PostgreSQL's server programs and psql are on this machine, and
# prints the server's folder. The places looked at are those that the tests and
# the demo look at (internal/pgcluster): PATH, Debian's, Red Hat's, Homebrew's and
# Postgres.app's. Only when none has them is a package installed. No server of
# the system is created or started: the tests and the demo start their own.
set -eu
. "$(dirname "$0")/install-package.sh"

# Stands before every absolute place; only the test of this script sets it.
root=${SLUICE_TEST_ROOT:-}

server() {
	found=$(command -v initdb || true)
	if [ -n "$found" ]; then
		# A link has its companions where it points to.
		real=$(readlink -f "$found" 2>/dev/null || echo "$found")
		for dir in "$(dirname "$real")" "$(dirname "$found")"; do
			if [ -x "$dir/postgres" ]; then echo "$dir"; return 0; fi
		done
	fi
	best='' best_version=-1
	for dir in \
		"$root"/usr/lib/postgresql/*/bin "$root"/usr/pgsql-*/bin \
		"$root"/opt/homebrew/opt/postgresql@*/bin "$root"/usr/local/opt/postgresql@*/bin \
		"$root"/opt/homebrew/opt/postgresql/bin "$root"/usr/local/opt/postgresql/bin \
		"$root"/Applications/Postgres.app/Contents/Versions/*/bin; do
		if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then
			version=$(echo "${dir#"$root"}" | tr -cd '0-9.' | sed 's/\..*//')
			if [ "${version:-0}" -gt "$best_version" ]; then best=$dir best_version=${version:-0}; fi
		fi
	done
	if [ -n "$best" ]; then echo "$best"; return 0; fi
	return 1
}

client() {
	command -v psql >/dev/null || { dir=$(server) && [ -x "$dir/psql" ]; }
}

main() {
	if dir=$(server) && client; then
		echo "$dir"
		return 0
	fi
	say "PostgreSQL is not complete on this machine: installing it"
	if command -v apt-get >/dev/null && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
		# Debian's package would make a cluster and start it at every boot.
		as_root sh -c 'mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf' || true
	fi
	if ! install_package postgresql "postgresql-server postgresql-contrib" "postgresql postgresql-contrib" postgresql postgresql@17; then
		say "hint: install PostgreSQL 14 or newer with its server programs, then run this again"
		return 1
	fi
	if ! dir=$(server); then
		say "PostgreSQL was installed, yet initdb and postgres are in none of the known places"
		say "hint: put the folder that holds them on PATH"
		return 1
	fi
	echo "$dir"
}

main
