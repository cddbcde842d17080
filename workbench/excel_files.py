"""Excel workbooks (.xlsx) to rows of cells, one at a time, as a person sees them: formulas by their last value."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from workbench.errors import BadInput, NotFound

_OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # OLE: .xls, and every workbook that is locked with a password


def sheet_rows(data: bytes, name: str, sheet: str, limit: int) -> Iterator[tuple[int, list[Any]]]:
    """Yield (row number, cells) of one sheet, without empty cells at the end; rows without any cell are left out.

    Args:
        sheet: its name; "" for the first one.
        limit: bytes to which the workbook may unfold.

    Raises:
        BadInput: if it is no whole workbook, too large, or its first row has no cell.
        NotFound: if there is no such sheet.
    """
    from openpyxl import load_workbook  # 0.2 s that other imports need not pay

    if data.startswith(_OLD):
        raise BadInput(
            f"{name} is an old Excel workbook or locked with a password.", "Save it as .xlsx without one."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(part.file_size for part in archive.infolist())
        if size > limit:
            raise BadInput(
                f"{name} unfolds to more than {limit / 2**20:,.1f} MB.",
                "Divide it into several smaller files.",
            )
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        if sheet and sheet not in book.sheetnames:
            raise NotFound.among(f"sheet of {name}", sheet, book.sheetnames)
        if not book.worksheets:
            raise BadInput(f"{name} has no sheet with cells.", "Choose another workbook.")
        chosen = book[sheet] if sheet else book.worksheets[0]
        chosen.reset_dimensions()  # what some writers say of a sheet's size is wrong
        for number, cells in enumerate(chosen.iter_rows(values_only=True), 1):
            row = list(cells)
            while row and (row[-1] is None or row[-1] == ""):
                row.pop()
            if number == 1 and not row:
                raise BadInput(f"{name}: row 1 is empty.", "Put the names of the columns into row 1.")
            if row:
                yield number, row
        book.close()
    except (BadInput, NotFound):
        raise
    except (
        Exception
    ) as error:  # openpyxl lets through whatever a damaged part raises: zip, XML, key, type errors
        reason = str(error).partition("\n")[0].rstrip(".")[:200]
        raise BadInput(
            f"{name} is not a whole Excel workbook ({reason}).", "Save it again as .xlsx or 'CSV UTF-8'."
        ) from error
