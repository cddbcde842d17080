"""How many tokens a text has, counted without a network and without importing litellm.

The tokenizer is OpenAI's cl100k_base, from the copy of its ranks that litellm carries. It stands in for every
provider's tokenizer: most do not publish theirs. Wherever a count is shown, :data:`COUNTED_WITH` goes with it.
"""

from __future__ import annotations

import binascii
import hashlib
import threading
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import Unavailable

if TYPE_CHECKING:
    from tiktoken import Encoding

COUNTED_WITH = "counted with cl100k_base; other tokenizers differ by some 10–20 %"
"""What to say beside every count."""

LONGEST_PIECE = 100_000
"""Characters that are counted in one go; longer texts are cut at a line end, or here where there is none."""

# tiktoken names a cached file by the SHA-1 of the address it would fetch it from.
_FILE = hashlib.sha1(b"https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken").hexdigest()
_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
_PATTERN = (  # how cl100k_base cuts a text into words before it merges bytes (tiktoken_ext.openai_public)
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
    r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
)
_loading = threading.Lock()


@lru_cache(maxsize=4096)
def count_tokens(text: str) -> int:
    """Return the number of cl100k_base tokens of ``text``; text that looks like a special token is plain text.

    The first call in a process loads the ranks (some 0.3 s); a text that was counted before costs nothing, so
    count the parts of a document apart and an edit recounts one part.

    Raises:
        Unavailable: if the installed litellm does not carry the tokenizer's file.
    """
    encoding = _encoding()
    return sum(len(encoding.encode_ordinary(piece)) for piece in _pieces(text))


def litellm_folder() -> Path:
    """Return litellm's package folder without importing litellm, which takes seconds.

    Raises:
        Unavailable: if litellm is not installed.
    """
    found = find_spec("litellm")
    if found is None or not found.submodule_search_locations:
        raise Unavailable("litellm is not installed.", "Install the workbench again: pip install .")
    return Path(next(iter(found.submodule_search_locations)))


def _pieces(text: str) -> list[str]:
    pieces = []
    while len(text) > LONGEST_PIECE:
        cut = text.rfind("\n", 0, LONGEST_PIECE) + 1 or LONGEST_PIECE
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text]


def _encoding() -> Encoding:
    with _loading:  # lru_cache alone lets two threads load at once
        return _loaded()


@lru_cache(maxsize=1)
def _loaded() -> Encoding:
    import tiktoken

    # tiktoken.get_encoding would look for the file where an environment variable of the whole process says.
    return tiktoken.Encoding(
        "cl100k_base", pat_str=_PATTERN, mergeable_ranks=_ranks(litellm_folder()), special_tokens={}
    )


def _ranks(folder: Path) -> dict[bytes, int]:
    path = folder / "litellm_core_utils" / "tokenizers" / _FILE
    hint = "Install a litellm that carries it: pip install 'litellm>=1.106,<2'."
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unavailable(
            f"The tokenizer file cl100k_base cannot be read ({error.strerror}).", hint
        ) from error
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise Unavailable("The tokenizer file cl100k_base was altered.", hint)
    lines = (line.split() for line in data.splitlines() if line)
    return {binascii.a2b_base64(token): int(rank) for token, rank in lines}
