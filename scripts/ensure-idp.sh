#!/bin/sh
# Installs what the test against an identity provider of others needs, where it is
# missing: oidc-provider and what drives a browser, in a directory of their own, and
# Chromium. Prints that directory.
set -eu
. "$(dirname "$0")/install-package.sh"

provider=oidc-provider@9.13.3
driver=playwright-core@1.64.1
dir=${IDP_MODULES:-$PWD/bin/idp}

if ! command -v npm >/dev/null; then
	install_package "nodejs npm" "nodejs npm" "nodejs npm" node node >&2 || { echo "node and npm are needed for this test" >&2; exit 1; }
fi
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then
	install_package chromium chromium chromium chromium chromium >&2 || { echo "Chromium is needed for this test" >&2; exit 1; }
fi
mkdir -p "$dir"
if [ "$(cat "$dir/installed" 2>/dev/null)" != "$provider $driver" ]; then
	npm install --prefix "$dir" --no-save --no-audit --no-fund --no-package-lock --ignore-scripts "$provider" "$driver" >&2
	echo "$provider $driver" >"$dir/installed"
fi
echo "$dir"
