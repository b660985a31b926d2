#!/bin/sh
# Installs what the tests can use beyond Python packages. Requires root; otherwise it prints what is
# missing and continues: those tests are skipped, with the reason.
set -eu
sh "$(dirname "$0")/azurite/install.sh"
missing=""
command -v promtool >/dev/null 2>&1 || missing="$missing prometheus"
command -v restic >/dev/null 2>&1 || missing="$missing restic"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "deps: skipped, not root or no apt-get; not installed:$missing"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
{ timeout 300 apt-get update -q && timeout 300 apt-get install -qy --no-install-recommends $missing; } \
    > /dev/null || echo "deps: apt-get could not install:$missing"
