#!/bin/bash
# Entry point of the stand-in's image: the arguments are those that Qdrant's chart gives. Peers agree
# through one file, so all of them mount the same volume at /qdrant/consensus.
set -eu
uri=
while [ $# -gt 0 ]; do
    [ "$1" != --uri ] || uri=$2
    shift
done
uri=${uri%:6335}:6333/
peer=/qdrant/snapshots/peer
mkdir -p $peer
ln -sfn /qdrant/storage $peer/storage
if [ -e config/local.yaml ]; then
    sed -n 's/^ *api_key: *//p' config/local.yaml | tr -d "\"' \n" > /qdrant/init/key
    set -- --api-key-file /qdrant/init/key
fi
exec python -m cleancut_devcluster.peer.main --dir $peer --root /qdrant/consensus --http 0.0.0.0:6333 --uri "$uri" "$@"
