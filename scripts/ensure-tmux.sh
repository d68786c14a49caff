#!/bin/sh
# Makes sure there is tmux, in which a test drives the approvals screen by keystrokes.
set -eu
. "$(dirname "$0")/install-package.sh"

if command -v tmux >/dev/null; then exit 0; fi
say "no tmux found: installing it for the test of the approvals screen"
install_package tmux tmux tmux tmux tmux || {
	say "hint: install tmux, then run this again"
	exit 1
}
