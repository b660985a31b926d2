#!/bin/sh
# Builds the parts of Kubernetes that `make k8s` runs, from the Go modules pinned here, into
# build/kube/bin; again only if a pin changes. The first time takes twenty minutes of two cores.
# KUBE_BIN=FOLDER: take the programs from there instead. Exit 3, with the reason, where `make k8s`
# cannot run.
set -eu
cd "$(dirname "$0")/../.."
OUT=$(pwd)/build/kube/bin
V=$(sed -n 's/^require k8s.io\/kubernetes //p' tools/kube/go.mod)
PACKAGES="containerd runc containernetworking-plugins iptables conntrack ipset"

skip() { echo "k8s: skipped, $*"; exit 3; }
[ "$(id -u)" -eq 0 ] || skip "needs root"
grep -qw overlay /proc/filesystems || modprobe overlay 2> /dev/null || skip "no overlayfs"
if ! command -v containerd runc conntrack iptables nsenter > /dev/null || [ ! -e /usr/lib/cni/bridge ]; then
    command -v apt-get > /dev/null || skip "no containerd, and no apt-get to install it"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    { apt-get update -q && apt-get install -qy --no-install-recommends $PACKAGES; } > /dev/null \
        || skip "apt-get could not install $PACKAGES"
fi
mkdir -p "$OUT"
key=$(cat tools/kube/go.sum tools/kube/coredns/go.sum tools/kube/pause/main.go tools/kube/build.sh | sha256sum)
[ "$key" != "$(cat "$OUT/.key" 2> /dev/null)" ] || exit 0
if [ -n "${KUBE_BIN:-}" ]; then
    cp "$KUBE_BIN"/* "$OUT/"
    exit 0
fi
command -v go > /dev/null || skip "no Go"

export CGO_ENABLED=0 GOFLAGS=-mod=readonly
stamp="-X k8s.io/component-base/version.gitVersion=$V -X k8s.io/client-go/pkg/version.gitVersion=$V"
stamp="$stamp -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${V#v1.}"
build() { # FOLDER PACKAGE NAME
    echo "k8s: building $3"
    (cd "$1" && nice -n 5 go build -trimpath -ldflags "-s -w $stamp" -o "$OUT/$3" "$2")
}
for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
    build tools/kube "k8s.io/kubernetes/cmd/$name" "$name"
done
build tools/kube ./pause pause
build tools/kube/coredns . coredns
echo "$key" > "$OUT/.key"
