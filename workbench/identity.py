"""Identity by content: canonical JSON and tagged hashes.

Two values with the same content get the same id on every machine and in every session, which is what makes
imports, syncs and job collection repeatable without duplicates.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from typing import Any

from pydantic import BaseModel, ConfigDict

_NOT_KEEPABLE = re.compile("[\x00\ud800-\udfff]")


def canonical_json(value: Any) -> str:
    """Return the one JSON text of ``value``: keys sorted, no spaces, NFC text, no NaN.

    Raises:
        ValueError: for NaN, infinities, types JSON does not know, and keys that differ only in normalisation.
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True)
    try:
        text = _dumped(value)
        # Keys are sorted as they will be read, so texts are normalised before that; most are NFC already.
        return text if unicodedata.is_normalized("NFC", text) else _dumped(_normalised(value))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error


# One encoder for all: json.dumps would make one a call, a third of the time that hashing a pair takes.
_dumped = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def _normalised(value: Any) -> Any:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, dict):
        items = {_normalised(key): _normalised(item) for key, item in value.items()}
        if len(items) < len(value):
            raise ValueError("two keys are the same text in different Unicode normalisations")
        return items
    if isinstance(value, list | tuple):
        return [_normalised(item) for item in value]
    return value


def keepable(text: str) -> str:
    """Return ``text`` with U+FFFD for what no database and no UTF-8 file keeps: NUL and half a surrogate pair."""
    return _NOT_KEEPABLE.sub("\ufffd", text)


def content_hash(tag: str, value: Any) -> str:
    """Return ``tag-<32 hex digits>``, the first 128 bits of SHA-256 over tag and canonical JSON.

    The tag keeps a pair and a policy with the same JSON apart, and says what an id names.
    """
    digest = hashlib.sha256(f"{tag}\n{canonical_json(value)}".encode("utf-8", "surrogatepass"))
    return f"{tag}-{digest.hexdigest()[:32]}"


class Value(BaseModel):
    """Base of all domain values: frozen, no unknown keys, aliases accepted beside field names."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
