#!/bin/sh
# Publishes one kind of artifact of this version: `publish.sh packages|images|chart`.
#
# packages: build/release of `make release-check`, by uv: trusted publishing, or UV_PUBLISH_TOKEN.
# images:   REGISTRY=HOST/PATH; buildx for amd64 and arm64 with SBOM and provenance, then signed by
#           cosign, whose identity is the workflow's. PYTHON_IMAGE=NAME@sha256:.. is required.
# chart:    CHART_REGISTRY=oci://HOST/PATH; helm.
# DRY_RUN=1 prints the commands instead.
set -eu
cd "$(dirname "$0")/.."
VERSION=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' cleancut/__init__.py)
PLATFORMS=linux/amd64,linux/arm64

run() {
    if [ "${DRY_RUN:-}" ]; then echo "$*"; else "$@"; fi
}

login() { # TOOL HOST
    [ -n "${REGISTRY_PASSWORD:-}" ] && [ -z "${DRY_RUN:-}" ] || return 0
    printf %s "$REGISTRY_PASSWORD" | "$@" --username "$REGISTRY_USER" --password-stdin
}

image() { # NAME
    tag="$REGISTRY/$1:$VERSION"
    run docker buildx build --platform $PLATFORMS --file "Dockerfile.${1#cleancut-}" --tag "$tag" \
        --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" --build-arg "VERSION=$VERSION" \
        --build-arg "REVISION=$(git rev-parse HEAD)" --build-arg "CREATED=$(git log -1 --format=%cI)" \
        --sbom=true --provenance=mode=max --push --metadata-file "build/$1.json" .
    digest=sha256:DIGEST
    [ "${DRY_RUN:-}" ] || digest=$(sed -n 's/.*"containerimage.digest": "\(sha256:[0-9a-f]*\)".*/\1/p' "build/$1.json")
    run cosign sign --yes "$REGISTRY/$1@$digest"
}

case "${1:-}" in
    packages)
        run .venv/bin/python -m uv publish --trusted-publishing automatic "build/release/cleancut-$VERSION"*
        ;;
    images)
        : "${REGISTRY:?set REGISTRY to HOST/PATH of the images}"
        case "${PYTHON_IMAGE:-}" in
            *@sha256:*) ;;
            *) echo "publish: PYTHON_IMAGE must name a base image by its digest: NAME@sha256:.."; exit 2 ;;
        esac
        login docker login "${REGISTRY%%/*}"
        mkdir -p build
        run docker buildx create --name cleancut --driver docker-container --use || true
        for name in cleancut-agent cleancut-coordinator; do image $name; done
        ;;
    chart)
        : "${CHART_REGISTRY:?set CHART_REGISTRY to oci://HOST/PATH}"
        host=${CHART_REGISTRY#oci://}
        login helm registry login "${host%%/*}"
        mkdir -p build/chart
        run helm package charts/cleancut --destination build/chart
        run helm push "build/chart/cleancut-$VERSION.tgz" "$CHART_REGISTRY"
        ;;
    *)
        echo "usage: publish.sh packages|images|chart"
        exit 2
        ;;
esac
