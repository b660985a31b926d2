"""Arrays: vectors of a page as Arrow arrays, and as JSON text.

A missing vector is null. Numbers in text are as short as their 32 bits allow.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cleancut.core.points.columns import Kind, VectorColumn
from cleancut.core.points.payload_types import Type


def type_of(column: VectorColumn) -> Any:
    """The Arrow type of a vector: a fixed-size list, a list of these, or two lists."""
    if column.kind is Kind.SPARSE:
        lists = [("indices", pa.list_(pa.uint32())), ("values", pa.list_(pa.float32()))]
        return pa.struct(lists)
    dense = pa.list_(pa.float32(), column.size)
    return pa.list_(dense) if column.kind is Kind.MULTI else dense


def payload_column(kind: Type) -> Any:
    """The Arrow type of payload fields of this type; text, where there are none."""
    plain = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}
    if isinstance(kind, list):
        return pa.list_(payload_column(kind[1]))
    if isinstance(kind, dict) and kind:
        return pa.struct([(name, payload_column(one)) for name, one in kind.items()])
    return plain.get(kind, pa.string()) if isinstance(kind, str) else pa.string()


def array_of(column: VectorColumn, vectors: Sequence[Any]) -> Any:
    """The `vectors` of a page as the engine gives them, None for a missing one."""
    missing = pa.array([one is None for one in vectors], pa.bool_())
    if column.kind is Kind.SPARSE:
        indices = _lists([() if one is None else one.indices for one in vectors], "I", pa.uint32())
        values = _lists([() if one is None else one.values for one in vectors], "f", pa.float32())
        return pa.StructArray.from_arrays(
            [indices, values], fields=list(type_of(column)), mask=missing
        )
    if column.kind is Kind.MULTI:
        rows = [row for one in vectors if one is not None for row in one]
        inner = _fixed(rows, column.size, None)
        offsets = _offsets([0 if one is None else len(one) for one in vectors])
        return pa.ListArray.from_arrays(offsets, inner, mask=missing)
    empty = [0.0] * column.size
    return _fixed([empty if one is None else one for one in vectors], column.size, missing)


def texts_of(column: VectorColumn, found: Any) -> list[str | None]:
    """The vectors of `found`, which `array_of` made, as Qdrant's API has them in JSON."""
    if column.kind is Kind.SPARSE:
        pairs = zip(
            _list_texts(found.field("indices")), _list_texts(found.field("values")), strict=True
        )
        texts = [f'{{"indices":{indices},"values":{values}}}' for indices, values in pairs]
    elif column.kind is Kind.MULTI:
        texts = _list_texts(found, _fixed_texts(found.values, column.size))
    else:
        texts = _fixed_texts(found, column.size).to_pylist()
    missing = found.is_null().to_pylist()
    return [None if gone else text for gone, text in zip(missing, texts, strict=True)]


def _flat(rows: Sequence[Sequence[float]], code: str, kind: Any) -> Any:
    flat: array[Any] = array(code)
    for row in rows:
        flat.fromlist(row if isinstance(row, list) else list(row))  # twice as fast as `extend`
    return pa.Array.from_buffers(kind, len(flat), [None, pa.py_buffer(flat)])


def _fixed(rows: Sequence[Sequence[float]], size: int, missing: Any) -> Any:
    flat = _flat(rows, "f", pa.float32())
    kind = pa.list_(pa.float32(), size)
    return pa.FixedSizeListArray.from_arrays(flat, type=kind, mask=missing)


def _lists(rows: Sequence[Sequence[float]], code: str, kind: Any) -> Any:
    return pa.ListArray.from_arrays(_offsets([len(row) for row in rows]), _flat(rows, code, kind))


def _offsets(lengths: Sequence[int]) -> Any:
    offsets, at = [0], 0
    for length in lengths:
        at += length
        offsets.append(at)
    return pa.array(offsets, pa.int32())


def _fixed_texts(found: Any, size: int) -> Any:
    """A text for each row of a fixed-size list."""
    rows = len(found)
    offsets = pa.array(range(0, rows * size + 1, size), pa.int32())
    return _joined(pa.ListArray.from_arrays(offsets, _number_texts(found.values)))


def _list_texts(found: Any, texts: Any = None) -> list[str]:
    """A text for each list; `texts`: of its elements, if they are not numbers."""
    elements = _number_texts(found.values) if texts is None else texts
    joined: list[str] = _joined(pa.ListArray.from_arrays(found.offsets, elements)).to_pylist()
    return joined


def _number_texts(numbers: Any) -> Any:
    """Floats have a point or an exponent: Qdrant would read a multivector of two rows, the first of
    whole numbers, as a sparse vector. Those that JSON does not have are null, as in its answers.

    Source: measured on Qdrant 1.18.3
    """
    texts = numbers.cast(pa.string())
    if not pa.types.is_floating(numbers.type):
        return texts
    whole = pc.equal(pc.floor(numbers), numbers)
    if pc.any(whole).as_py():
        plain = pc.and_(whole, pc.invert(pc.match_substring(texts, "e")))
        texts = pc.if_else(plain, pc.binary_join_element_wise(texts, ".0", ""), texts)
    finite = pc.is_finite(numbers)
    return texts if pc.all(finite).as_py() else pc.if_else(finite, texts, "null")


def _joined(lists: Any) -> Any:
    joined = pc.binary_join(lists, ",")
    return pc.binary_join_element_wise("[", joined, "]", "")
