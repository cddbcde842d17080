"""A job's folder kept at a URL too, for workers that do not share a file system with the app.

Either side sends what changed on its own side since it last looked, and fetches what changed on the other. Files arrive
whole, and ``result.json`` last, as in the folder itself. Any file system of fsspec will do.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from workbench.errors import BadInput, Unavailable
from workbench.files import write_text
from workbench.identity import content_hash

CONTROLS = ("stop", "stop_after_epoch", "ray")
"""Files by which the app steers a worker; the worker's side never sends them."""
MOVES = "moves.json"
"""File that says where on the app's machine the folder and the inputs lie that the spec names."""
INPUTS = "inputs"
"""Folder beside the jobs' at the URL, which holds what specs name by path, each once."""

_STATE = ".mirror.json"
_WHOLE = ".whole"  # sent last: what it stands beside is complete
_LAST = "result.json"
_SMALL = 4 << 20  # bytes; larger files wait for the end of the job, lest each look at it send them anew
_NAMES_A_PATH = ("start", "teachers", "dataset", "clicks", "folder")
# How file systems tell that a file changed, the surest first; "created" is all that fsspec's memory:// has.
_MARKS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")


@dataclass
class _Known:
    """One file when both sides were last alike: size and time here, mark there."""

    size: int
    mtime_ns: int
    mark: str


class Mirror:
    """A folder and its copy at a URL.

    Attributes:
        url: where the copy lies.
    """

    def __init__(self, folder: Path, url: str) -> None:
        """Connect.

        Raises:
            BadInput: the URL has a scheme that fsspec does not know.
            Unavailable: the scheme's library is not installed.
        """
        self.folder = folder
        self.url = url.rstrip("/")
        self._fs, self._root = _opened(self.url)

    def push(self, *, skip: Iterable[str] = (), small_only: bool = False) -> None:
        """Send what changed here; what was removed here is removed there.

        Raises:
            Unavailable: the URL cannot be written.
        """
        known = self._known()
        skipped = set(skip)
        here = {name: path for name, path in _files(self.folder) if name not in skipped}
        with _reaching(self.url):
            for name in sorted(here, key=lambda name: (name == _LAST, name)):
                with suppress(FileNotFoundError):  # it was removed since
                    size, mtime_ns = _stamp(here[name])
                    old = known.get(name)
                    if old and (old.size, old.mtime_ns) == (size, mtime_ns):
                        continue
                    if not small_only or size <= _SMALL:
                        self._send(name)
                        known[name] = _Known(size, mtime_ns, self._mark(name))
                        self._remember(known)
            for name in sorted(known.keys() - here.keys() - skipped):
                with suppress(FileNotFoundError):
                    self._fs.rm_file(f"{self._root}/{name}")
                del known[name]
        self._remember(known)

    def push_controls(self) -> None:
        """Send the files that steer the worker, where they changed.

        Raises:
            Unavailable: the URL cannot be written.
        """
        others = [name for name, _ in _files(self.folder) if name not in CONTROLS]
        self.push(skip=[*others, *(self._known().keys() - set(CONTROLS))])

    def pull(self, *, small_only: bool = False) -> None:
        """Fetch what changed there, but the files that steer the worker; nothing is removed here.

        Raises:
            Unavailable: the URL cannot be read.
        """
        known = self._known()
        with _reaching(self.url):
            there = self._listed()
            for name in sorted(there, key=lambda name: (name == _LAST, name)):
                info = there[name]
                old = known.get(name)
                if name in CONTROLS or (old and old.mark == _mark(info)):
                    continue
                if small_only and (info["size"] > _SMALL or name == _LAST):
                    continue
                _fetch(self._fs, f"{self._root}/{name}", self.folder / name)
                known[name] = _Known(*_stamp(self.folder / name), _mark(info))
                self._remember(known)

    def pull_controls(self) -> None:
        """Fetch the files that steer the worker, where they are new or gone.

        Raises:
            Unavailable: the URL cannot be read.
        """
        with _reaching(self.url):
            for name in CONTROLS:
                if self._fs.exists(f"{self._root}/{name}"):
                    _fetch(self._fs, f"{self._root}/{name}", self.folder / name)

    def _send(self, name: str) -> None:
        _put(self._fs, self.folder / name, f"{self._root}/{name}")

    def _mark(self, name: str) -> str:
        self._fs.invalidate_cache()
        return _mark(self._fs.info(f"{self._root}/{name}"))

    def _listed(self) -> dict[str, Mapping[str, Any]]:
        self._fs.invalidate_cache()
        prefix = self._fs._strip_protocol(self._root).rstrip("/") + "/"
        found = {}
        for path, info in self._fs.find(self._root, detail=True).items():
            name = str(path).removeprefix(prefix)
            if not _hidden(name):
                found[_checked(name, self.url)] = info
        return found

    def _known(self) -> dict[str, _Known]:
        """Return what was alike; nothing where the folder was mirrored at another URL."""
        try:
            state = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            if state["url"] == self.url:
                return {name: _Known(*values) for name, values in state["files"].items()}
        except (OSError, ValueError, KeyError, TypeError):
            pass  # then all is compared anew
        return {}

    def _remember(self, known: Mapping[str, _Known]) -> None:
        files = {name: [k.size, k.mtime_ns, k.mark] for name, k in known.items()}
        write_text(self.folder / _STATE, json.dumps({"url": self.url, "files": files}))


def send_inputs(base: str, payload: Mapping[str, Any], folder: Path) -> None:
    """Send what a spec names by path (checkpoints, data sets, click logs) and note in ``moves.json`` where it went.

    Each is sent once, however many jobs name it. Only the keys under which the workbench itself puts paths are looked
    at: a path that somebody typed into a text is no reason to send a file away.

    Raises:
        BadInput: a path that is not there.
        Unavailable: the URL cannot be written.
    """
    moves = {}
    for path in sorted(set(_paths(payload))):
        source = Path(path)
        files = list(_files(source)) if source.is_dir() else [(source.name, source)]
        if not source.exists() or not files:
            raise BadInput(
                f"There is no {path}, which the job learns from.", "Make it again, or choose another."
            )
        stamps = {name: _stamp(file) for name, file in files}
        key = content_hash("input", {"path": path, "files": stamps})
        moves[path] = key if source.is_dir() else f"{key}/{source.name}"
        fs, root = _opened(f"{base}/{INPUTS}/{key}")
        with _reaching(base):
            if not fs.exists(f"{root}/{_WHOLE}"):
                for name, file in files:
                    _put(fs, file, f"{root}/{name}")
                fs.makedirs(root, exist_ok=True)
                fs.pipe_file(f"{root}/{_WHOLE}", b"")
    note = {"folder": str(folder), "cache": str(payload.get("cache", "")), "inputs": moves}
    write_text(folder / MOVES, json.dumps(note, indent=1))


def fetch_input(base: str, key: str, target: Path) -> None:
    """Fetch one of the inputs into a folder, unless it is there already.

    Raises:
        Unavailable: the URL cannot be read.
    """
    if target.is_dir():
        return
    fs, root = _opened(f"{base}/{INPUTS}/{key}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch, _reaching(base):
        prefix = fs._strip_protocol(root).rstrip("/") + "/"
        for path in fs.find(root):
            name = _checked(str(path).removeprefix(prefix), base)
            _fetch(fs, path, Path(scratch) / "made" / name)
        with suppress(OSError):  # another job of this machine was faster
            os.rename(Path(scratch) / "made", target)


def _paths(value: Any, under: str = "") -> Iterator[str]:
    """Yield the absolute paths in a payload that are inputs."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _paths(inner, str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _paths(inner, under)
    elif isinstance(value, str) and under in _NAMES_A_PATH and value.startswith("/"):
        yield value


def _opened(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        fs, root = fsspec.core.url_to_fs(url)
    except ValueError as error:
        raise BadInput(
            f"WORKBENCH_SHARED_URL is no URL ({error}).", "Give s3://…, gs://… or file://…."
        ) from error
    except ImportError as error:
        raise Unavailable(
            f"{url.partition('://')[0]}:// needs a library ({error}).", "Install it."
        ) from error
    return fs, str(root)


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    try:
        yield
    except (BadInput, Unavailable):
        raise
    except Exception as error:  # every library of fsspec's has a family of its own
        raise Unavailable(
            f"{url} cannot be used ({type(error).__name__}: {str(error)[:300]}).",
            "Check WORKBENCH_SHARED_URL and the credentials in the environment.",
        ) from error


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not _hidden(name):
            yield name, path


def _hidden(name: str) -> bool:
    return any(part.startswith(".") and part != ".." for part in name.split("/"))


def _checked(name: str, url: str) -> str:
    if ".." in PurePosixPath(name).parts or name.startswith("/"):
        raise BadInput(f"{url} holds '{name}', which leads out of the folder.", "Remove it there.")
    return name


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _mark(info: Mapping[str, Any]) -> str:
    return f"{info['size']} {next((info[name] for name in _MARKS if info.get(name)), '')}"


def _put(fs: Any, source: Path, target: str) -> None:
    fs.makedirs(target.rpartition("/")[0], exist_ok=True)
    if getattr(fs, "local_file", False):  # object stores show a file when it is whole; a disk shows it before
        fs.put_file(str(source), f"{target}.part")
        os.replace(f"{target}.part", target)
    else:
        fs.put_file(str(source), target)


def _fetch(fs: Any, source: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        fs.get_file(source, name)
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
