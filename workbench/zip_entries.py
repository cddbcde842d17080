"""Entries of a zip archive, also those compressed with Zstandard, each within a limit."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

from workbench.errors import BadInput

_ZSTANDARD = 93  # compression method of the zip format (APPNOTE 4.4.5); zipfile knows it from Python 3.14 on
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_REMEDY = "Write it again, or divide it."


class ZipEntries:
    """The entries of an archive; each is unfolded when it is read, and never further than the limits."""

    def __init__(self, source: Path | bytes, name: str, *, max_entry: int, max_total: int) -> None:
        """Read the table of contents.

        Args:
            name: of the archive, for errors.
            max_entry, max_total: bytes to which one entry, and all that are read, may unfold.

        Raises:
            BadInput: if it is not a whole archive.
        """
        self._name, self._max_entry, self._left = name, max_entry, max_total
        try:
            self._file = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
            self._archive = zipfile.ZipFile(self._file)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise BadInput(f"{name} is not a whole zip archive ({error}).", _REMEDY) from error
        self.names = frozenset(self._archive.namelist())

    def close(self) -> None:
        """Close the file."""
        self._archive.close()
        self._file.close()

    def read(self, entry: str) -> bytes:
        """Return one entry, unfolded.

        Raises:
            BadInput: if it is damaged, too large, locked, or compressed by a method that cannot be read.
        """
        info = self._archive.getinfo(entry)
        if info.flag_bits & 0x1:
            raise BadInput(f"{self._name}, part {entry}: is locked with a password.", "Write it without one.")
        limit = min(self._max_entry, self._left)
        try:
            if info.compress_type == _ZSTANDARD:
                data = self._zstandard(info, limit)
            else:
                with self._archive.open(info) as stream:
                    data = stream.read(limit + 1)  # one byte more is enough to know
        except NotImplementedError as error:
            raise BadInput(
                f"{self._name}, part {entry}: compressed by a method that this Python cannot read ({error}).",
                "Write it with deflate, or export it as JSON.",
            ) from error
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, struct.error) as error:
            raise BadInput(f"{self._name}, part {entry}: is damaged ({error}).", _REMEDY) from error
        if len(data) > limit:
            raise BadInput(
                f"{self._name}, part {entry}: unfolds to more than {limit / 2**20:,.1f} MB.", _REMEDY
            )
        self._left -= len(data)
        return data

    def _zstandard(self, info: zipfile.ZipInfo, limit: int) -> bytes:
        import pyarrow as pa  # it reads the Parquet files, and brings the codec

        self._file.seek(info.header_offset)
        header = _LOCAL_HEADER.unpack(self._file.read(_LOCAL_HEADER.size))
        if header[0] != b"PK\x03\x04":
            raise zipfile.BadZipFile("no header where the table of contents says")
        self._file.seek(header[9] + header[10], io.SEEK_CUR)  # the name and the extra field come between
        packed = self._file.read(info.compress_size)
        try:
            with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
                data: bytes = stream.read(limit + 1)
        except pa.ArrowException as error:
            raise zipfile.BadZipFile(str(error)) from error
        if len(data) <= limit and zlib.crc32(data) != info.CRC:
            raise zipfile.BadZipFile("its checksum is another")
        return data
