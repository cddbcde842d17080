"""The pairs of a job, one JSON line each, read when they are needed: 100,000 of them take the room of their offsets."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import BinaryIO, overload

from pydantic import ValidationError

from workbench.errors import BadInput, NotFound
from workbench.golden import Pair, Split
from workbench.yamltext import describe

_SPLITS: dict[str, Split] = {"dev": "dev", "holdout": "holdout"}
_HINT = "Start the job anew: it writes its inputs again."


def write_pairs(path: Path, pairs: Iterable[Pair], splits: Mapping[str, Split]) -> None:
    """Write pairs with their splits as lines that :class:`PairFile` reads; none is held longer than its line."""
    with path.open("w", encoding="utf-8") as file:
        for pair in pairs:
            file.write(f'{pair.model_dump_json()[:-1]},"split":"{splits[pair.id]}"}}\n')


class PairFile(Sequence[Pair]):
    """The pairs of a file, in its order. A pair is read and checked at each access and not held."""

    def __init__(self, path: Path) -> None:
        """Find where the lines begin.

        Raises:
            NotFound: if there is no such file.
            BadInput: if it cannot be read, or its last line is cut short.
        """
        self.path = path
        self._starts = array("q", [0])  # where each line begins, and the end
        try:
            with path.open("rb") as file:
                end, line = 0, b"\n"
                for line in file:
                    end += len(line)
                    self._starts.append(end)
        except FileNotFoundError as error:
            raise NotFound(f"There is no file {path}.", _HINT) from error
        except OSError as error:
            raise BadInput(f"{path} cannot be read ({error.strerror}).", "Check its permissions.") from error
        if not line.endswith(b"\n"):
            raise BadInput(f"{path}, line {len(self)}: it is cut short.", _HINT)

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self._starts) - 1

    @overload
    def __getitem__(self, where: int) -> Pair: ...
    @overload
    def __getitem__(self, where: slice) -> list[Pair]: ...
    def __getitem__(self, where: int | slice) -> Pair | list[Pair]:
        """Return one pair, or those of a slice.

        Raises:
            BadInput: with the line, if it holds no pair.
        """
        with self.path.open("rb") as file:
            if isinstance(where, slice):
                return [self._read(file, i)[0] for i in range(*where.indices(len(self)))]
            return self._read(file, range(len(self))[where])[0]

    def __iter__(self) -> Iterator[Pair]:
        """Yield the pairs from one pass through the file.

        Raises:
            BadInput: with the line, if it holds no pair.
        """
        return (pair for pair, _ in self.with_splits())

    def with_splits(self) -> Iterator[tuple[Pair, Split]]:
        """Yield each pair with its split, as :meth:`__iter__` yields pairs."""
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield self._parsed(line, number)

    @property
    def splits(self) -> Mapping[str, Split]:
        """Pair id -> split; read through once, when it is first asked."""
        return _Splits(self)

    def _read(self, file: BinaryIO, i: int) -> tuple[Pair, Split]:
        file.seek(self._starts[i])
        return self._parsed(file.read(self._starts[i + 1] - self._starts[i]), i + 1)

    def _parsed(self, line: bytes, number: int) -> tuple[Pair, Split]:
        try:
            data = json.loads(line)
            split = _SPLITS[data.pop("split")]
            return Pair.model_validate(data), split
        except ValidationError as error:
            problem = describe(error, f"{self.path}, line {number}")[0]
        except (ValueError, TypeError, AttributeError, KeyError):
            problem = f"{self.path}, line {number}: it is no pair with a split."
        raise BadInput(problem, _HINT)


class PairSubset(Sequence[Pair]):
    """Some pairs of a sequence, in its order, without holding any."""

    def __init__(self, pairs: Sequence[Pair], chosen: Iterable[bool]) -> None:
        """Take those of ``pairs`` at whose place ``chosen`` is true."""
        self._pairs = pairs
        self._chosen = bytearray(chosen)
        self._places = array("q", compress(range(len(pairs)), self._chosen))

    def __len__(self) -> int:
        """Return how many were chosen."""
        return len(self._places)

    @overload
    def __getitem__(self, where: int) -> Pair: ...
    @overload
    def __getitem__(self, where: slice) -> list[Pair]: ...
    def __getitem__(self, where: int | slice) -> Pair | list[Pair]:
        """Return one pair, or those of a slice."""
        if isinstance(where, slice):
            return [self._pairs[i] for i in self._places[where]]
        return self._pairs[self._places[where]]

    def __iter__(self) -> Iterator[Pair]:
        """Yield the pairs from one pass through the sequence that they are of."""
        return compress(self._pairs, self._chosen)


class _Splits(Mapping[str, Split]):
    """The splits of a file's pairs. A judge that does not ask for them never pays for their ids."""

    def __init__(self, file: PairFile) -> None:
        self._file = file

    @cached_property
    def _known(self) -> dict[str, Split]:
        return {pair.id: split for pair, split in self._file.with_splits()}

    def __getitem__(self, pair_id: str) -> Split:
        return self._known[pair_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
