#!/bin/sh
# Writes the Python classes of proto/: cleancut/v1 (public API) and cleancut/etcd/pb (private
# subset of etcd's). Run from anywhere; repeatable. $1 is the folder to write into (default: the
# project; the drift test gives a temporary one). PYTHON names the interpreter that has
# grpcio-tools (default: .venv/bin/python, else python3).
set -eu
out=${1:-.}
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
[ -x "$python" ] || python=python3
"$python" -m grpc_tools.protoc \
    --proto_path=proto \
    --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" \
    cleancut/v1/common.proto cleancut/v1/backup.proto \
    cleancut/v1/restore.proto cleancut/v1/rebalance.proto cleancut/v1/reshard.proto \
    cleancut/v1/undelete.proto cleancut/v1/schedule.proto cleancut/v1/cluster.proto
# A message file without a service still gets an empty stub.
rm -f "$out/cleancut/v1/common_pb2_grpc.py"
"$python" -m grpc_tools.protoc \
    --proto_path=cleancut/etcd/pb=proto/etcd \
    --python_out="$out" --pyi_out="$out" \
    cleancut/etcd/pb/etcd.proto
