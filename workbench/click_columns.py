"""Which columns of a table are impressions, and what their cells mean; cells that mean nothing are null or NaN."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.click_model import Floats
from workbench.column_mapping import constant, normal
from workbench.errors import BadInput, NotFound
from workbench.identity import Value

if TYPE_CHECKING:
    import pyarrow as pa

MAX_POSITION = 100_000
NAMES = {
    "query": ("query", "query_id", "qid", "search", "search_id", "search_query", "q"),
    "document": (
        "document", "document_id", "doc", "doc_id", "docid", "item", "item_id", "product_id", "url",
    ),
    "position": ("position", "pos", "rank", "slot"),
    "clicked": ("clicked", "click", "is_click", "is_clicked", "clicks"),
    "time": ("time", "timestamp", "at", "ts", "datetime", "event_time"),
    "propensity": ("propensity", "propensity_score", "pscore"),
    "session": ("session", "session_id", "sid", "impression_group"),
    "true_relevance": ("true_relevance",),
    "simulated": ("simulated",),
}  # fmt: skip
"""Field -> names that its column often has, the likeliest first."""
NEEDED = ("query", "document", "position", "clicked")
_TRUTHS = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0, "0.0": 0.0, "1.0": 1.0}


class ClickMapping(Value):
    """Field -> column, or ``=constant`` for all rows; "" where the log has none."""

    query: str
    document: str
    position: str
    clicked: str
    time: str = ""
    propensity: str = ""
    session: str = ""
    true_relevance: str = ""
    simulated: str = ""

    def columns(self) -> list[str]:
        """Return the columns that are read, each once."""
        named = dict.fromkeys(str(value) for value in self.model_dump().values() if value)
        return [column for column in named if constant(column) is None]


def likely_columns(columns: Sequence[str], used: Collection[str] = ()) -> dict[str, str]:
    """Return for each field the column that is called as it is, of those not ``used``; "" where there is none."""
    free = {normal(column): column for column in reversed(columns) if column not in used}
    return {
        name: next((free[usual] for usual in names if usual in free), "") for name, names in NAMES.items()
    }


def guess_mapping(columns: Sequence[str], given: Mapping[str, str], file: str) -> ClickMapping:
    """Return ``given`` completed by columns that are called as fields are; ``field: ""`` leaves a field out.

    Raises:
        NotFound: for a field or a column that there is not.
        BadInput: if a field that is needed has no column.
    """
    for name, column in given.items():
        if name not in NAMES:
            raise NotFound.among("field of an impression", name, NAMES)
        if column and constant(column) is None and column not in columns:
            raise BadInput(
                f"{file} has no column '{column}'.", NotFound.among("column", column, columns).hint
            )
    found = likely_columns(columns, set(given.values()))
    found |= {name: column.strip() for name, column in given.items()}
    lacking = [name for name in NEEDED if not found[name]]
    if lacking:
        raise BadInput(
            f"{file} has no column that is called like {' or '.join(lacking)}; it has {', '.join(columns)}.",
            f"Say which one it is: {lacking[0]}=COLUMN, or {lacking[0]}==TEXT for all rows.",
        )
    return ClickMapping(**found)


def repeated(text: str, rows: int) -> pa.Array:
    """Return a constant as a column."""
    import pyarrow as pa

    return pa.repeat(pa.scalar(text, pa.string()), rows)


def missing(column: pa.Array) -> npt.NDArray[np.bool_]:
    """Return where a column is null, shape (rows,)."""
    result: npt.NDArray[np.bool_] = column.is_null().to_numpy(zero_copy_only=False)
    return result


def texts(column: pa.Array) -> pa.Array:
    """Return cells as text without outer white space; empty ones are null.

    Raises:
        BadInput: for a column of lists or objects.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BadInput(
            f"A column of {column.type} holds no ids.", "Map a column of texts or numbers."
        ) from error
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def numbers(column: pa.Array) -> Floats:
    """Return cells as numbers, shape (rows,); NaN for what is none, infinities included."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        if pa.types.is_boolean(kind):
            column = column.cast(pa.int8())
        found = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    else:
        found = _by_text(column, _number)
    return np.where(np.isfinite(found), found, np.nan)


def truths(column: pa.Array) -> Floats:
    """Return 1 for yes, 0 for no, NaN for anything else, shape (rows,): 0, 1, true and false are understood."""
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
        return _by_text(column, lambda text: _TRUTHS.get(text.strip().casefold(), np.nan))
    found = numbers(column)
    return np.where((found == 0) | (found == 1), found, np.nan)


def _by_text(column: pa.Array, meaning: Any) -> Floats:
    """Return what each cell's text means; each distinct text is asked about once."""
    import pyarrow as pa

    codes = column if pa.types.is_dictionary(column.type) else texts(column).dictionary_encode()
    values = codes.dictionary.cast(pa.string()).to_pylist()
    table = np.array([*(meaning(value or "") for value in values), np.nan], dtype=np.float64)
    index = codes.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    found: Floats = table[index.astype(np.int64)]
    return found


def _number(text: str) -> float:
    try:
        # float() also reads 1_000, which nobody means.
        return float(text) if "_" not in text else np.nan
    except ValueError:
        return np.nan


def times(column: pa.Array) -> pa.Array:
    """Return cells as moments in UTC to the microsecond; null for what cannot be read.

    ISO 8601 is understood, a time without a zone as UTC, and numbers as seconds, milliseconds or microseconds since
    1970, whichever puts them between 1973 and 5138.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    moment = pa.timestamp("us", "UTC")
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        if pa.types.is_timestamp(kind) and kind.tz:
            return column.cast(moment, safe=False)
        return pc.assume_timezone(column.cast(pa.timestamp("us"), safe=False), "UTC")
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _since_1970(numbers(column), moment)
    text = texts(column)
    for quick in (moment, pa.timestamp("us")):
        with_zone = quick is moment
        try:
            found = text.cast(quick)
        except pa.ArrowInvalid:
            continue
        return found if with_zone else pc.assume_timezone(found, "UTC")
    # Several forms among them, or some that are none.
    counted = numbers(text)
    written = pd.to_datetime(text.to_pandas(), format="ISO8601", utc=True, errors="coerce")
    iso = pa.array(written.dt.as_unit("us"), from_pandas=True).cast(moment)
    return pc.if_else(pa.array(np.isfinite(counted)), _since_1970(counted, moment), iso)


def _since_1970(count: Floats, moment: pa.DataType) -> pa.Array:
    import pyarrow as pa

    size = np.abs(np.nan_to_num(count))
    scale = np.select([size < 1e8, size < 1e11, size < 1e14, size < 1e17], [np.nan, 1e6, 1e3, 1.0], np.nan)
    micros = count * scale
    known = np.isfinite(micros) & (count > 0)
    return (
        pa.array(np.where(known, micros, 0).astype(np.int64), mask=~known)
        .cast(pa.timestamp("us"))
        .cast(moment)
    )
