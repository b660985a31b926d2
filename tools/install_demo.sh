#!/bin/sh
# Installs what `make demo` needs into VENV, made from PYTHON, and says what it is doing meanwhile.
set -eu
: "${PYTHON:?}" "${VENV:?}"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
	echo "Python 3.11 or newer is needed: make demo PYTHON=/path/to/python3" >&2
	exit 1
}
began=$(date +%s)
say() { printf '%4d s  %s\n' "$(($(date +%s) - began))" "$1" >&2; }

say "Installing what the demo needs into $VENV: about a minute, once"
test -x "$VENV/bin/python" || "$PYTHON" -m venv "$VENV"
log=$VENV/demo-install.log
"$VENV/bin/python" -m pip install --disable-pip-version-check --no-compile --progress-bar off \
	-e '.[demo]' >"$log" 2>&1 &
pip=$!
said=""
while kill -0 "$pip" 2>/dev/null; do
	now=$(sed -n 's/^Collecting \([^ (;<>=]*\).*/fetching \1/p; s/^Installing collected.*/unpacking/p' "$log" | tail -1)
	if [ "$now" != "$said" ]; then say "  $now" && said=$now; fi
	sleep 2
done
wait "$pip" || {
	tail -20 "$log" >&2
	echo "error: pip could not install the packages; all it said is in $log" >&2
	exit 1
}
say "Installed"
