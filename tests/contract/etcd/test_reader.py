"""An independent client, `import etcd3`, and ours read what the other one wrote."""

from __future__ import annotations

import asyncio

import etcd3  # type: ignore[import-untyped]

from cleancut.etcd.client import open_etcd
from cleancut.ports.coordination import Created, KeyValue, Put
from tests.support.etcd_cluster import EtcdCluster


def test_both_clients_see_the_same(etcd_trio: EtcdCluster, etcd_root: str) -> None:
    """Keys, values, revisions and leases of our writes as etcd3 reads them, and the reverse."""
    ours, theirs = f"{etcd_root}ours/é", f"{etcd_root}theirs"
    host, _, port = etcd_trio.endpoints[0].rpartition(":")
    other = etcd3.client(host=host, port=int(port))

    async def main() -> None:
        async with open_etcd(etcd_trio.endpoints) as etcd, etcd.lease(5) as lease:
            put = Put(ours, b"\x00ours\xff", lease.id)
            born = (await etcd.txn([Created(ours, 0)], [put])).revision
            value, facts = await asyncio.to_thread(other.get, ours)
            assert value == b"\x00ours\xff"
            assert facts.key == ours.encode()
            assert (facts.create_revision, facts.mod_revision) == (born, born)
            assert facts.response_header.revision == born
            assert list(other.get_lease_info(lease.id).keys) == [ours.encode()]

            their_lease = other.lease(60)
            other.put(theirs, b"\x00theirs\xff", lease=their_lease)
            _, facts = other.get(theirs)
            assert await etcd.get(theirs) == KeyValue(
                theirs,
                b"\x00theirs\xff",
                facts.create_revision,
                facts.mod_revision,
                their_lease.id,
            )
            assert not (await etcd.txn([Created(theirs, 0)], [Put(theirs, b"x")])).applied
            listed = [kv.key for kv in (await etcd.list(etcd_root)).items]
            assert listed == sorted([ours, theirs])
            their_lease.revoke()
            assert await etcd.get(theirs) is None
        assert other.get(ours)[0] is None

    try:
        asyncio.run(main())
    finally:
        other.close()
