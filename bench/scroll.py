"""Export of a live collection by Qdrant's scroll API into Parquet or lines, for comparison.

Usage: python -m bench.scroll URL COLLECTION OUT parquet|jsonl
One connection, pages of 1,000 with vectors, and nothing between the answer and the file that could
be left out: what a script does that exports without a backup.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PAGE = 1000


async def pages(url: str, collection: str) -> AsyncIterator[list[dict[str, Any]]]:
    offset: Any = None
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as http:
        while True:
            body = {"limit": PAGE, "offset": offset, "with_vector": True}
            where = f"{url}/collections/{collection}/points/scroll"
            async with http.post(where, json=body) as answer:
                answer.raise_for_status()
                result = msgspec.json.decode(await answer.read())["result"]
            yield result["points"]
            offset = result["next_page_offset"]
            if offset is None:
                return


def batch_of(points: list[dict[str, Any]]) -> Any:
    vectors = np.array([one["vector"] for one in points], np.float32)
    return pa.table(
        {
            "id": pa.array([one["id"] for one in points], pa.uint64()),
            "payload": [msgspec.json.encode(one["payload"]).decode() for one in points],
            "vector": pa.FixedSizeListArray.from_arrays(vectors.reshape(-1), vectors.shape[1]),
        }
    )


async def run(url: str, collection: str, file: BinaryIO, form: str) -> None:
    writer: Any = None
    async for points in pages(url, collection):
        if form == "jsonl":
            file.write(b"".join(msgspec.json.encode(one) + b"\n" for one in points))
            continue
        batch = batch_of(points)
        if writer is None:
            writer = pq.ParquetWriter(file, batch.schema, compression="zstd")
        writer.write_table(batch)
    if writer is not None:
        writer.close()


def main() -> None:
    url, collection, out, form = sys.argv[1:]
    with Path(out).open("wb") as file:
        asyncio.run(run(url, collection, file, form))


if __name__ == "__main__":
    main()
