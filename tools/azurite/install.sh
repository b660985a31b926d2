#!/bin/sh
# Installs Azurite, Microsoft's emulator of Azure Blob Storage, into build/azurite. Requires npm;
# otherwise it prints that, and the tests that need it are skipped, with the reason.
set -eu
from="$(cd "$(dirname "$0")" && pwd)"
to="$from/../../build/azurite"
if cmp -s "$from/package.json" "$to/installed.json"; then
    exit 0
fi
if ! command -v npm >/dev/null 2>&1 || ! command -v node >/dev/null 2>&1; then
    echo "deps: skipped, no node or npm; not installed: azurite"
    exit 0
fi
rm -rf "$to"
mkdir -p "$to"
cp -r "$from/package.json" "$from/stub" "$to"
if timeout 180 npm install --prefix "$to" --no-audit --no-fund --ignore-scripts --omit=dev \
    --omit=optional --loglevel=error >/dev/null 2>&1; then
    cp "$from/package.json" "$to/installed.json"
else
    echo "deps: npm could not install: azurite"
fi
