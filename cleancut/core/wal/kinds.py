"""Kinds of operations in a shard's log, by Qdrant's names."""

from __future__ import annotations

UNKNOWN = "unknown"
SCHEMA_KINDS = frozenset(
    {"create_index", "delete_index", "create_vector_name", "delete_vector_name"}
)
KINDS = SCHEMA_KINDS | {
    "upsert_points",
    "upsert_points_conditional",
    "sync_points",
    "delete_points",
    "delete_points_by_filter",
    "update_vectors",
    "delete_vectors",
    "delete_vectors_by_filter",
    "set_payload",
    "overwrite_payload",
    "delete_payload",
    "clear_payload",
    "clear_payload_by_filter",
}
