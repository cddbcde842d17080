"""The one family of errors that a user of the workbench sees.

A face (page or command line) catches :class:`WorkbenchError` in one place and shows ``message`` and ``hint``;
anything else that escapes is a defect of ours and is shown as such.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WorkbenchError(Exception):
    """Something a person can act on: ``message`` says what and where, ``hint`` says what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class BadInput(WorkbenchError):
    """A document, file or form that came from outside does not say what it has to say."""


class NotFound(WorkbenchError):
    """A name that nothing answers to; :meth:`among` adds the nearest names there are."""

    @classmethod
    def among(cls, what: str, name: str, known: Iterable[str]) -> NotFound:
        """Return the error for ``name``, with a "did you mean" drawn from ``known``."""
        names = sorted(set(known))
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if close:
            hint = f"Did you mean {' or '.join(close)}?"
        elif names:
            shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
            hint = f"There is: {shown}."
        else:
            hint = "There is none yet."
        return cls(f"No {what} is called '{name}'.", hint)


class Conflict(WorkbenchError):
    """Somebody else moved on first; nothing was written."""


class Refused(WorkbenchError):
    """The request is understood and against a rule of the workbench (a holdout leak, a published file)."""


class Unavailable(WorkbenchError):
    """A part that is not installed or a service that cannot be used, with what it would need."""
