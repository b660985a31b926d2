"""The calls of the Qdrant client that the demo, drills and users make: the same on both kinds."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from qdrant_client import QdrantClient, models

from cleancut_devcluster.launch.qdrant import wait_until
from tests.contract.qdrant.world import SIZE, World


@pytest.fixture
def client(world: World) -> Iterator[QdrantClient]:
    """A client of the first peer."""
    one = QdrantClient(url=world.peers[0].url, check_compatibility=False, timeout=30)
    yield one
    one.close()


@pytest.fixture
def docs(world: World) -> str:
    return world.run(world.create(shards=3, replicas=2))


def vector(seed: int) -> list[float]:
    source = random.Random(seed)
    return [source.gauss(0, 1) for _ in range(SIZE)]


def upload(client: QdrantClient, docs: str, count: int = 200) -> None:
    points = [
        models.PointStruct(id=at, vector=vector(at), payload={"tag": f"t{at % 5}", "n": at})
        for at in range(count)
    ]
    client.upload_points(docs, points, batch_size=64, wait=True)


def tagged(value: str) -> models.Filter:
    return models.Filter(
        must=[models.FieldCondition(key="tag", match=models.MatchValue(value=value))]
    )


def test_points_are_found_and_read(client: QdrantClient, docs: str) -> None:
    """Exact neighbours, filters, pages in order of ids, single points with and without vectors."""
    upload(client, docs)
    best = client.query_points(docs, query=vector(17), limit=3, with_payload=["n"]).points
    assert best[0].id == 17
    assert best[0].score == pytest.approx(1, abs=1e-5)
    assert best[0].payload == {"n": 17}
    assert [one.score for one in best] == sorted((one.score for one in best), reverse=True)
    assert client.count(docs, exact=True).count == 200
    assert client.count(docs, count_filter=tagged("t3"), exact=True).count == 40
    page, offset = client.scroll(docs, limit=70)
    assert [one.id for one in page] == list(range(70))
    assert offset == 70
    rest, offset = client.scroll(docs, limit=500, offset=offset, with_payload=False)
    assert [one.id for one in rest] == list(range(70, 200))
    assert offset is None
    found = client.retrieve(docs, [3, 999, 1], with_vectors=True)
    assert {one.id for one in found} == {1, 3}
    norm = sum(x * x for x in vector(3)) ** 0.5
    kept = next(one for one in found if one.id == 3)
    assert kept.vector == pytest.approx([x / norm for x in vector(3)], abs=1e-5)
    assert kept.payload == {"tag": "t3", "n": 3}


def test_queries_by_id_and_by_example(client: QdrantClient, docs: str) -> None:
    """A point named in a query is not in its answer."""
    upload(client, docs)
    by_vector = client.query_points(docs, query=vector(17), limit=6).points
    by_id = client.query_points(docs, query=17, limit=5).points
    assert [one.id for one in by_id] == [one.id for one in by_vector[1:]]
    examples = models.RecommendInput(positive=[17], negative=[4])
    liked = client.query_points(docs, query=models.RecommendQuery(recommend=examples), limit=5)
    assert len(liked.points) == 5
    assert {17, 4}.isdisjoint(one.id for one in liked.points)
    page = client.query_points(docs, query=vector(17), limit=2, offset=2).points
    assert [one.id for one in page] == [one.id for one in by_vector[2:4]]


def test_points_are_changed_and_deleted(client: QdrantClient, docs: str) -> None:
    """Payloads by id and by filter, vectors, deletes; each seen at once with wait=true."""
    upload(client, docs)
    client.set_payload(docs, {"seen": True}, points=[1, 2], wait=True)
    client.set_payload(docs, {"seen": True}, points=tagged("t0"), wait=True)
    seen = models.Filter(
        must=[models.FieldCondition(key="seen", match=models.MatchValue(value=True))]
    )
    assert client.count(docs, count_filter=seen).count == 42
    client.overwrite_payload(docs, {"only": 1}, points=[1], wait=True)
    assert client.retrieve(docs, [1])[0].payload == {"only": 1}
    client.delete_payload(docs, ["seen"], points=tagged("t0"), wait=True)
    client.clear_payload(docs, [2], wait=True)
    assert client.count(docs, count_filter=seen).count == 0
    client.update_vectors(docs, [models.PointVectors(id=5, vector=vector(500))], wait=True)
    assert client.query_points(docs, query=vector(500), limit=1).points[0].id == 5
    client.delete(docs, [5, 6], wait=True)
    client.delete(docs, models.FilterSelector(filter=tagged("t4")), wait=True)
    assert client.count(docs).count == 200 - 2 - 40
    client.batch_update_points(
        docs,
        [
            models.UpsertOperation(
                upsert=models.PointsList(points=[models.PointStruct(id=7000, vector=vector(1))])
            ),
            models.DeleteOperation(delete=models.PointIdsList(points=[7])),
        ],
        wait=True,
    )
    assert {one.id for one in client.retrieve(docs, [7, 7000])} == {7000}


def test_batches_facets_and_conditions(client: QdrantClient, docs: str) -> None:
    """The column form of an upsert, values counted, and the usual conditions."""
    client.create_payload_index(docs, "tag", models.PayloadSchemaType.KEYWORD, wait=True)
    client.create_payload_index(docs, "n", models.PayloadSchemaType.INTEGER, wait=True)
    upload(client, docs)
    batch = models.Batch(ids=[900, 901], vectors=[vector(900), vector(901)], payloads=[{}, {}])
    client.upsert(docs, batch, wait=True)
    hits = client.facet(docs, "tag", exact=True).hits
    assert {hit.value: hit.count for hit in hits} == {f"t{at}": 40 for at in range(5)}
    small = models.FieldCondition(key="n", range=models.Range(gte=10, lt=20))
    no_tag = models.IsEmptyCondition(is_empty=models.PayloadField(key="tag"))
    named = models.HasIdCondition(has_id=[1, 2, 901])
    for condition, expected in (
        (models.Filter(must=[small]), 10),
        (models.Filter(must=[no_tag]), 2),
        (models.Filter(must=[named]), 3),
        (models.Filter(must_not=[named]), 199),
        (models.Filter(should=[small, named]), 13),
        (models.Filter(must=[models.Filter(must=[small]), tagged("t1")]), 2),
    ):
        assert client.count(docs, count_filter=condition, exact=True).count == expected


def test_named_sparse_and_multiple_vectors(client: QdrantClient, world: World) -> None:
    """Each kind of vector is found by its name, and survives as it was given."""
    name = world.run(
        world.create(
            shards=2,
            vectors={
                "text": {"size": 4, "distance": "Euclid"},
                "parts": {
                    "size": 4,
                    "distance": "Cosine",
                    "multivector_config": {"comparator": "max_sim"},
                },
            },
            sparse_vectors={"words": {}},
        )
    )
    points = [
        models.PointStruct(
            id=at,
            vector={
                "text": [float(at), 0, 0, 1],
                "parts": [[1, 0, 0, float(at)], [0, 1, 0, 0]],
                "words": models.SparseVector(indices=[at, 100], values=[1.5, 0.5]),
            },
        )
        for at in range(20)
    ]
    client.upsert(name, points, wait=True)
    near = client.query_points(name, query=[7.2, 0, 0, 1], using="text", limit=3).points
    assert [one.id for one in near] == [7, 8, 6]
    words = models.SparseVector(indices=[9], values=[1.0])
    found = client.query_points(name, query=words, using="words", limit=3, with_vectors=True)
    assert [one.id for one in found.points] == [9]
    kept = found.points[0].vector
    assert isinstance(kept, dict)
    assert kept["words"] == models.SparseVector(indices=[9, 100], values=[1.5, 0.5])
    parts = client.query_points(name, query=[[0, 1, 0, 0]], using="parts", limit=5).points
    assert len(parts) == 5
    for shard, hosts in world.run(world.hosts(name)).items():
        for vector_name in ("text", "parts", "words"):
            call = hosts[0].search_shard(name, shard, vector_name=vector_name)
            assert world.run(call) > 0


def test_collections_are_listed_and_described(client: QdrantClient, docs: str) -> None:
    """What people look at first."""
    upload(client, docs, 50)
    assert docs in {one.name for one in client.get_collections().collections}
    assert client.collection_exists(docs)
    assert not client.collection_exists("nowhere")
    info = client.get_collection(docs)
    assert info.config.params.shard_number == 3
    assert info.points_count == 50
    assert client.get_collection_aliases(docs).aliases == []


def test_a_shard_past_its_threshold_gets_an_index_when_idle(
    client: QdrantClient, world: World
) -> None:
    """So tars hold HNSW graphs; counts and answers stay, and a stream comes out whole."""
    name = world.run(
        world.create(
            shards=1,
            optimizers_config={"indexing_threshold": 20, "default_segment_number": 1},
        )
    )
    upload(client, name, 2000)

    async def indexed() -> bool:
        return bool((await world.first.collection(name))["indexed_vectors_count"] >= 1900)

    world.run(wait_until(indexed, 40, "the index is built"))
    assert client.count(name).count == 2000
    found = client.query_points(name, query=vector(17), limit=1).points
    assert found[0].id == 17
    before = world.run(world.numbers(name))
    world.run(world.first.drain(name, [0], [], 10))
    after = world.run(world.numbers(name))
    assert [after[one] - before[one] for one in before] == [1]
