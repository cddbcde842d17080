"""Identity by content: canonical JSON and tagged hashes.

Two values with the same content get the same id on every machine and in every session, which is what makes
imports, syncs and job collection repeatable without duplicates.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from typing import Any

from pydantic import BaseModel, ConfigDict


def canonical_json(value: Any) -> str:
    """Return the one JSON text of ``value``: keys sorted, no spaces, NFC text, no NaN.

    Raises:
        ValueError: for NaN, infinities, and types JSON does not know.
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True)
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except TypeError as error:
        raise ValueError(f"not JSON: {error}") from error
    return unicodedata.normalize("NFC", text)


def content_hash(tag: str, value: Any) -> str:
    """Return ``tag-<32 hex digits>``, the first 128 bits of SHA-256 over tag and canonical JSON.

    The tag keeps a pair and a policy with the same JSON apart, and says what an id names.
    """
    digest = hashlib.sha256(f"{tag}\n{canonical_json(value)}".encode("utf-8", "surrogatepass"))
    return f"{tag}-{digest.hexdigest()[:32]}"


class Value(BaseModel):
    """Base of all domain values: frozen, no unknown keys, aliases accepted beside field names."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
