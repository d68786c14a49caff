#!/bin/sh
# Installs what the test with an agent's client of others needs, where it is missing: the
# TypeScript SDK of the Model Context Protocol, in a directory of its own. Prints that
# directory.
set -eu
. "$(dirname "$0")/install-package.sh"

sdk=@modelcontextprotocol/sdk@1.32.2
dir=${MCP_MODULES:-$PWD/bin/mcp}

if ! command -v npm >/dev/null; then
	install_package "nodejs npm" "nodejs npm" "nodejs npm" node node >&2 || { echo "node and npm are needed for this test" >&2; exit 1; }
fi
mkdir -p "$dir"
if [ "$(cat "$dir/installed" 2>/dev/null)" != "$sdk" ]; then
	npm install --prefix "$dir" --no-save --no-audit --no-fund --no-package-lock --ignore-scripts "$sdk" >&2
	echo "$sdk" >"$dir/installed"
fi
echo "$dir"
