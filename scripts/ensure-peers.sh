#!/bin/sh
# Installs what the benchmark compares with, where it is missing: PgBouncer and an ssh
# server. Neither is needed; what cannot be had is left out of the comparison. No
# service of the system is started: the benchmark starts its own.
set -eu
. "$(dirname "$0")/install-package.sh"

have() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ]; }

for peer in pgbouncer sshd; do
	have "$peer" && continue
	case $peer in
	pgbouncer) install_package pgbouncer pgbouncer pgbouncer pgbouncer pgbouncer ;;
	sshd) install_package "openssh-server openssh-client" "openssh-server openssh-clients" openssh openssh openssh ;;
	esac || say "hint: without $peer the benchmark leaves it out"
done
