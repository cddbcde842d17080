"""Keys of providers: read from the environment at the last moment, and kept out of everything that is stored."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from workbench.errors import BadInput

_LOOKS_LIKE_KEY = re.compile(r"\b(?:sk|pk|key|gsk|xai)-[\w*.-]{6,}|\bBearer\s+\S+", re.IGNORECASE)
_SECRET_NAME = re.compile(
    r"^key$|api.?key|secret|password|authorization|headers|credential|(^|_)token$", re.IGNORECASE
)


def key_in(variable: str) -> str:
    """Return the key in an environment variable, "" where there is none."""
    return os.environ.get(variable, "").strip()


def scrub(text: str, also: str | None = None) -> str:
    """Return ``text`` without the keys that this process could have sent.

    litellm finds a provider's key by itself, so every variable with a key-like name counts, and ``also`` whatever
    it is called. Values shorter than 8 characters are placeholders of local servers ("EMPTY"); replacing them
    would damage replies.
    """
    return without(secrets(also), text)


def secrets(also: str | None = None) -> tuple[str, ...]:
    """Return the keys that this process could send, the longest first; see :func:`scrub`."""
    values = {
        value.strip()
        for name, value in os.environ.items()
        if name == also or name.endswith(("_API_KEY", "_ACCESS_KEY"))
    }
    return tuple(sorted((value for value in values if len(value) >= 8), key=len, reverse=True))


def without(known: tuple[str, ...], text: str) -> str:
    """Return ``text`` with every one of ``known`` replaced."""
    for secret in known:
        text = text.replace(secret, "[key]")
    return text


def one_line(text: str, also: str | None = None) -> str:
    """Return an error text from outside as one scrubbed line of at most 200 characters.

    What merely looks like a key goes as well: providers repeat a refused key with some of its letters starred.
    """
    line = " ".join(_LOOKS_LIKE_KEY.sub("[key]", scrub(text, also)).split())
    return line if len(line) <= 200 else line[:199] + "…"


def refuse_secrets(names: list[str], text: str, also: str | None = None) -> None:
    """Check a model's name or parameters, which are stored with every run: names of parameters, and the text.

    Raises:
        BadInput: when one of them is a key or is called like one.
    """
    named = [name for name in names if _SECRET_NAME.search(name)]
    if named or text != scrub(text, also):
        raise BadInput(
            f"{repr(named[0]) if named else 'The model or one of its parameters'} is a secret, and both are stored with "
            "every run.",
            "Put the key into an environment variable and name that variable (api_key_env).",
        )


def checked_url(url: str) -> str:
    """Return an endpoint's address without a trailing slash; it is stored with every run, so it holds no key.

    Raises:
        BadInput: when it is no http address, or holds a user, a password or a query.
    """
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise BadInput(
            "The address of the endpoint is not usable.", "Write it like http://127.0.0.1:8000/v1."
        )
    if parts.username or parts.password or parts.query:
        raise BadInput(
            "The address of the endpoint holds a user, a password or a query.",
            "Put the key into an environment variable and name that variable (api_key_env).",
        )
    return url.strip().rstrip("/")
