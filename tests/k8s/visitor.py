"""What tests do to pods from inside the node's network.

Usage: python -m tests.k8s.visitor bucket URL
       python -m tests.k8s.visitor fill URL KEY COLLECTION SHARDS COPIES POINTS
       python -m tests.k8s.visitor count|drop URL KEY COLLECTION
       python -m tests.k8s.visitor get URL
"""

from __future__ import annotations

import json
import random
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import boto3

_BATCH = 500
_SIZE = 64


def bucket(url: str) -> None:
    """The bucket `backups` is there."""
    keys = {"aws_access_key_id": "admin", "aws_secret_access_key": "adminsecret"}
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
    client.create_bucket(Bucket="backups")


def fill(url: str, key: str, name: str, *sizes: str) -> None:
    """A collection is there, with an index and as many shards, copies and points as `sizes` say."""
    shards, copies, points = map(int, sizes)
    shape: dict[str, Any] = {"vectors": {"size": _SIZE, "distance": "Dot"}}
    shape |= {"shard_number": shards, "replication_factor": copies}
    existing = _ask(url, key, "GET /collections")["collections"]
    if name not in [one["name"] for one in existing]:
        _ask(url, key, f"PUT /collections/{name}?timeout=60", shape)
        index = {"field_name": "n", "field_schema": "integer"}
        _ask(url, key, f"PUT /collections/{name}/index?wait=true", index)
    chance = random.Random(7)
    for begin in range(0, points, _BATCH):
        ids = range(begin, min(begin + _BATCH, points))
        batch = {
            "ids": list(ids),
            "vectors": [[chance.random() for _ in range(_SIZE)] for _ in ids],
            "payloads": [{"n": one} for one in ids],
        }
        _ask(url, key, f"PUT /collections/{name}/points?wait=true", {"batch": batch})


def count(url: str, key: str, name: str) -> None:
    """Prints how many points a collection holds."""
    answer = _ask(url, key, f"POST /collections/{name}/points/count", {"exact": True})
    sys.stdout.write(f"{answer['count']}\n")


def drop(url: str, key: str, name: str) -> None:
    """The collection is gone."""
    _ask(url, key, f"DELETE /collections/{name}")


def get(url: str) -> None:
    """Prints what is there."""
    with urllib.request.urlopen(url, timeout=20) as answer:
        sys.stdout.write(answer.read().decode())


def _ask(url: str, key: str, line: str, body: object = None) -> Any:
    """The result of a request; `line`: method and path. Raises: OSError with the answer."""
    method, path = line.split(" ")
    data = None if body is None else json.dumps(body).encode()
    headers = {"api-key": key, "content-type": "application/json"}
    request = urllib.request.Request(url + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return json.load(answer)["result"]
    except urllib.error.HTTPError as error:
        raise OSError(f"{line}: {error.code}: {error.read().decode()[:500]}") from error


if __name__ == "__main__":
    verbs: dict[str, Callable[..., None]] = {
        "bucket": bucket,
        "fill": fill,
        "count": count,
        "drop": drop,
        "get": get,
    }
    verbs[sys.argv[1]](*sys.argv[2:])
