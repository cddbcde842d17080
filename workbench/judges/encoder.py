"""Texts to vectors with a small local transformer: mean pooling over tokens, unit length, kept by text.

This is the sentence-transformers recipe for MiniLM (mean of the last hidden states over the attention mask,
then L2 normalisation) written with transformers alone, since importing sentence-transformers takes seconds.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.backbone import MINILM, resolve_backbone
from workbench.errors import BadInput, Unavailable, WorkbenchError

FloatArray = npt.NDArray[np.float32]
_LOOKUP = 500  # texts a SELECT; SQLite allows 999 parameters in old builds


class TextEncoder:
    """Encodes texts to unit vectors; every distinct text is computed once.

    Vectors are kept in SQLite: in the file ``embeddings-<weights>.sqlite`` of ``cache`` when a folder is given,
    so that the next process starts with them (and does not load the model if it needs no other), else in a
    temporary database that goes with the encoder.

    A text longer than ``max_tokens`` is cut into windows of that many tokens; its vector is the normalised mean
    of the windows' vectors weighted by their tokens, so nothing of a text is dropped. A blank text is the zero
    vector, whose cosine with everything is 0.
    """

    def __init__(
        self,
        name: str = MINILM,
        *,
        batch_tokens: int = 4096,
        max_tokens: int = 256,
        cache: Path | None = None,
    ) -> None:
        """Find the weights; nothing is loaded before the first text that is not known yet.

        Args:
            name: ``minilm`` or a folder with a transformers encoder and its tokenizer.
            batch_tokens: tokens a batch, padding included; bounds memory.
            max_tokens: tokens a window, the two special ones included.
            cache: folder that keeps vectors between processes, made if absent.

        Raises:
            Unavailable: when the ``offline`` extra is asked for and not installed.
            BadInput: when ``name`` is neither ``minilm`` nor a folder, or a number makes no sense.
            WorkbenchError: when the cache cannot be opened.
        """
        if max_tokens < 3 or batch_tokens < max_tokens:
            raise BadInput(
                f"An encoder cannot work with max_tokens={max_tokens} and batch_tokens={batch_tokens}.",
                "max_tokens is at least 3, batch_tokens at least max_tokens.",
            )
        self.name = name
        self.max_tokens = max_tokens
        self._batch_tokens = batch_tokens
        self._folder = Path(resolve_backbone(name))
        if not self._folder.is_dir():
            raise BadInput(
                f"'{name}' is not a folder with an encoder.",
                "Texts are encoded without network: give 'minilm' or the folder of a downloaded model.",
            )
        self._model: Any = None
        self._tokenizer: Any = None
        self._lock = threading.Lock()
        self._where = self._cache_file(cache)
        try:
            # "" is SQLite's temporary database: in memory while small, spilled to disk by SQLite itself.
            self._known = sqlite3.connect(self._where, timeout=60, check_same_thread=False)
            self._known.execute(
                "CREATE TABLE IF NOT EXISTS vector (text BLOB PRIMARY KEY, value BLOB NOT NULL)"
            )
            self._known.commit()
            weakref.finalize(self, self._known.close)
        except sqlite3.Error as error:
            raise self._cache_error(error) from error

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Return one unit vector a text, float32, shape (texts, d); equal texts get equal vectors.

        Raises:
            Unavailable: when torch or transformers is not installed, or the folder holds no readable encoder.
            WorkbenchError: when the cache cannot be read or written.
        """
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        with self._lock:
            try:
                vectors = self._recall(keys)
                missing = {k: t for k, t in zip(keys, texts, strict=True) if k not in vectors and t.strip()}
                if missing:
                    computed = self._compute(list(missing.values()))
                    vectors.update(zip(missing, computed, strict=True))
                    rows = [(key, vectors[key].tobytes()) for key in missing]
                    with self._known:
                        self._known.executemany("INSERT OR IGNORE INTO vector VALUES (?, ?)", rows)
            except sqlite3.Error as error:
                raise self._cache_error(error) from error
        result = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for i, key in enumerate(keys):
            if key in vectors:
                result[i] = vectors[key]
        return result

    @cached_property
    def dimension(self) -> int:
        """Length of a vector, from the model's configuration."""
        try:
            return int(json.loads((self._folder / "config.json").read_text(encoding="utf-8"))["hidden_size"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._unreadable(error) from error

    def _recall(self, keys: Sequence[bytes]) -> dict[bytes, FloatArray]:
        wanted = list(dict.fromkeys(keys))
        found: dict[bytes, FloatArray] = {}
        for start in range(0, len(wanted), _LOOKUP):
            part = wanted[start : start + _LOOKUP]
            marks = ",".join("?" * len(part))
            rows = self._known.execute(f"SELECT text, value FROM vector WHERE text IN ({marks})", part)
            for key, value in rows:
                if len(value) != 4 * self.dimension:
                    raise sqlite3.DatabaseError("it holds a vector of another length")
                found[key] = np.frombuffer(value, dtype=np.float32)
        return found

    def _compute(self, texts: Sequence[str]) -> list[FloatArray]:
        self._load()
        import torch

        # The tokenizer refuses lone surrogates, which JSON may carry; they become question marks.
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        windows = self._tokenizer(
            clean, truncation=True, max_length=self.max_tokens, return_overflowing_tokens=True
        )
        owner = np.array(windows.pop("overflow_to_sample_mapping"))
        lengths = np.array([len(ids) for ids in windows["input_ids"]])
        sums = np.zeros((len(texts), self.dimension), dtype=np.float32)
        order = np.argsort(-lengths, kind="stable")  # equal lengths together, so that little is padding
        start = 0
        while start < len(order):
            batch = order[start : start + max(1, self._batch_tokens // int(lengths[order[start]]))]
            start += len(batch)
            inputs = self._tokenizer.pad(
                {name: [values[i] for i in batch] for name, values in windows.items()}, return_tensors="pt"
            )
            with torch.inference_mode():
                states = self._model(**inputs).last_hidden_state
                mask = inputs["attention_mask"].unsqueeze(-1)
                pooled = (states * mask).sum(1) / mask.sum(1)
                unit = torch.nn.functional.normalize(pooled, dim=-1).numpy()
            np.add.at(sums, owner[batch], unit * lengths[batch, None].astype(np.float32))
        return list(sums / np.linalg.norm(sums, axis=1, keepdims=True).clip(min=1e-12))

    def _load(self) -> None:
        if self._model is not None:
            return
        try:
            from transformers import AutoModel, AutoTokenizer
            from transformers.utils import logging
        except ImportError as error:
            raise Unavailable(
                "Encoding texts needs torch and transformers, which are not installed.",
                "Install them with: pip install 'policy-workbench[offline]'.",
            ) from error
        try:
            logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it only litters the log of a job
            self._tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
            self._model = AutoModel.from_pretrained(
                self._folder, local_files_only=True, use_safetensors=True
            ).eval()
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error

    def _cache_file(self, cache: Path | None) -> str:
        if cache is None:
            return ""
        digest = hashlib.sha256(f"{self.max_tokens}".encode())
        try:
            # Other weights or another tokenizer make other vectors, so they name the file.
            for part in sorted([*self._folder.glob("*.json"), *self._folder.glob("*.safetensors")]):
                digest.update(part.read_bytes())
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkbenchError(
                f"The embedding cache cannot be set up in {cache} ({error}).", "Choose another folder for it."
            ) from error
        return str(cache / f"embeddings-{digest.hexdigest()[:16]}.sqlite")

    def _cache_error(self, error: sqlite3.Error) -> WorkbenchError:
        return WorkbenchError(
            f"The embedding cache {self._where or '(temporary)'} cannot be used ({error}).",
            "Check the free space there, or delete the file; it fills again by itself.",
        )

    def _unreadable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"'{self.name}' holds no encoder that can be loaded ({str(error).splitlines()[0]}).",
            "The folder needs config.json, a tokenizer and model.safetensors.",
        )
