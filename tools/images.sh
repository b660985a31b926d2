#!/bin/sh
# Builds both images without an engine, and runs each as a restricted pod would: with buildah in
# chroots, over a base made by debootstrap. Needs root and some minutes.
#
# The base is a stand-in for the one that the Dockerfiles name, so this proves their steps and how
# the result can be run, not the bytes of the base. With an engine: docker build -f Dockerfile.agent .
# Usage: images.sh [build]   with `build`, nothing is run. STORAGE_DRIVER=overlay is faster, where it works.
set -eu
cd "$(dirname "$0")/.."
BASE=localhost/python-standin
SUITE=bookworm
WORK=$(pwd)/build/images
VERSION=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' cleancut/__init__.py)
[ "$(id -u)" -eq 0 ] || { echo "images: skipped, needs root"; exit 0; }
for tool in buildah debootstrap setpriv unshare; do
    command -v $tool > /dev/null && continue
    { apt-get update -q && apt-get install -qy --no-install-recommends buildah debootstrap util-linux; } > /dev/null
done
mkdir -p "$WORK"
driver=${STORAGE_DRIVER:-vfs}
store="--root $WORK/$driver --runroot $WORK/run-$driver --storage-driver $driver"

# shellcheck disable=SC2086
make_base() {
    rm -rf "$WORK/base"
    timeout 600 debootstrap --variant=minbase \
        --include=python3,python3-venv,ca-certificates $SUITE "$WORK/base" > "$WORK/debootstrap.log"
    rm -rf "$WORK"/base/var/cache/apt/* "$WORK"/base/var/lib/apt/lists/* "$WORK"/base/usr/share/doc/*
    ln -s /usr/bin/python3 "$WORK/base/usr/local/bin/python"
    # As new a pip as the real base has: an older one takes no hashes from constraints.
    rm "$WORK"/base/usr/share/python-wheels/pip-*.whl
    python3 -m pip download --quiet --no-deps --dest "$WORK/base/usr/share/python-wheels" 'pip>=25'
    # How this machine reaches its package index.
    cp /etc/ssl/certs/ca-certificates.crt "$WORK/base/etc/ssl/certs/ca-certificates.crt"
    pip_conf=${PIP_CONF:-/etc/pip.conf}
    if [ -r "$pip_conf" ]; then cp "$pip_conf" "$WORK/base/etc/pip.conf"; fi
    from=$(buildah $store from scratch)
    buildah $store add --quiet "$from" "$WORK/base" / > /dev/null
    buildah $store commit --quiet "$from" $BASE > /dev/null
    buildah $store rm "$from" > /dev/null
}

# shellcheck disable=SC2086
build() { # NAME
    timeout 900 buildah $store bud --isolation chroot --network host --pull-never --format docker \
        --build-arg PYTHON_IMAGE=$BASE --build-arg "VERSION=$VERSION" \
        --build-arg "REVISION=$(git rev-parse --short HEAD)" \
        --build-arg "CREATED=${CREATED:-$(date -u +%Y-%m-%dT%H:%M:%SZ)}" \
        --layers --tag "localhost/$1" --file "Dockerfile.${1#cleancut-}" . > "$WORK/$1.log" 2>&1 \
        || { tail -30 "$WORK/$1.log"; exit 1; }
}

# Runs the image's own entry point under the rules of a restricted pod, after saying what they are.
# shellcheck disable=SC2086
run() { # NAME IDS ARGUMENT...
    name=$1 ids=$2
    shift 2
    from=$(buildah $store from --pull-never "localhost/$name")
    root=$(buildah $store mount "$from")
    echo "$name: root $(du -sm "$root" | cut -f1) MB, of it ours $(du -sm "$root/opt/cleancut" | cut -f1) MB"
    buildah $store inspect --type image --format \
        "  user {{.Docker.Config.User}}, stop {{.Docker.Config.StopSignal}}, entry {{.Docker.Config.Entrypoint}}, licence {{index .Docker.Config.Labels \"org.opencontainers.image.licenses\"}}
" \
        "localhost/$name"
    entry=$(buildah $store inspect --type image --format '{{index .Docker.Config.Entrypoint 0}}' "localhost/$name")
    unshare --mount --pid --fork sh tools/restricted.sh "$root" "$ids" "$entry" "$@"
    buildah $store umount "$from" > /dev/null
    buildah $store rm "$from" > /dev/null
}

# shellcheck disable=SC2086
if [ "${FRESH:-}" ] || ! buildah $store inspect --type image $BASE > /dev/null 2>&1; then
    echo "base: $SUITE by debootstrap"
    make_base
fi
for name in cleancut-agent cleancut-coordinator; do build $name; done
[ "${1:-}" != build ] || exit 0
# There is no etcd, no Qdrant, no store, and for the first agent not even its CA: all stay up, are not
# ready, say what they lack, and end at once when asked to. The second agent has ids as OpenShift's.
run cleancut-agent 1000:2000 \
    --stay --cluster prod --etcd 127.0.0.1:1 --etcd-ca /etc/cleancut/etcd/ca.crt \
    --store 's3://none/x?endpoint=http://127.0.0.1:1&region=r' --qdrant-url http://127.0.0.1:1 \
    --spill-dir /tmp/spill --http 127.0.0.1:7497
run cleancut-agent 1000990000:0 \
    --stay --cluster prod --etcd 127.0.0.1:1 --store file:///tmp/store \
    --qdrant-url http://127.0.0.1:1 --spill-dir /tmp/spill --http 127.0.0.1:7497
run cleancut-coordinator 65532:65532 \
    --cluster prod --etcd 127.0.0.1:1 --store file:///tmp/store --qdrant-url http://127.0.0.1:1 \
    --grpc 127.0.0.1:7498 --http 127.0.0.1:7497
