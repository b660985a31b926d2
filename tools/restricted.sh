#!/bin/sh
# Inside namespaces of its own: ROOT is made read-only, gets a /tmp of its own, and ENTRY runs in it as
# IDS without any capability or new privilege. Then its health is checked, and it gets SIGTERM.
# Usage: restricted.sh ROOT UID:GID ENTRY ARGUMENT...
set -eu
root=$1 ids=$2
shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
# shellcheck disable=SC2016 # it is expanded inside
setpriv --no-new-privs --inh-caps=-all \
    chroot --userspec="$ids" --groups="${ids#*:}" "$root" /bin/sh -c '
    cd /tmp; export HOME=/tmp PATH=/opt/cleancut/bin:/usr/local/bin:/usr/bin:/bin
    export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
    echo "  as $(id -u):$(id -g), $(grep -E "CapEff|CapBnd|NoNewPrivs" /proc/self/status | tr "\t\n" "  ")"
    touch /opt/x 2>/dev/null && echo "  / CAN BE WRITTEN" && exit 1 || echo "  / cannot be written"
    "$@" 2> /tmp/log &
    program=$!
    python - <<PROBE || { cat /tmp/log; exit 1; }
import sys, time, urllib.error, urllib.request
def ask(path):
    try:
        return urllib.request.urlopen("http://127.0.0.1:7497" + path, timeout=5).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
end = time.monotonic() + 60
while ask("/livez") != 200 and time.monotonic() < end:
    time.sleep(0.2)
seen = {path: ask(path) for path in ("/livez", "/readyz", "/metrics")}
print("  answers", seen)
sys.exit(seen != {"/livez": 200, "/readyz": 503, "/metrics": 200})
PROBE
    began=$(date +%s%N)
    kill -TERM $program
    code=0; wait $program || code=$?
    echo "  ended $((($(date +%s%N) - began) / 1000000)) ms after SIGTERM with code $code"
    echo "  said: $(head -1 /tmp/log | cut -c1-150)"
    exit $code
' entry "$@"
