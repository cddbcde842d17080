"""A connection to a Ray cluster, and its errors in our words."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from workbench.errors import Unavailable, WorkbenchError

_REMEDY = "Start it on this machine (ray start --head), or give its address."
_PATIENCE_S = 5.0


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be connected to a cluster meanwhile. A connection of ours is ended: Ray ends a process whose cluster goes away.

    Args:
        address: of the cluster's GCS; ``auto`` is ``RAY_ADDRESS``, or the cluster that this machine is part of.

    Raises:
        Unavailable: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise Unavailable(
            "Splitting over a cluster needs Ray.", "Install it with: pip install 'policy-workbench[ray]'."
        ) from error
    if ray.is_initialized():
        yield
        return
    _look_for(os.environ.get("RAY_ADDRESS", "") if address == "auto" else address)
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise Unavailable(f"There is no Ray cluster at '{address}' ({str(error)[:200]}).", _REMEDY) from error
    try:
        yield
    finally:
        ray.shutdown()


def _look_for(address: str) -> None:
    """Refuse a host and port where nobody listens: Ray itself would wait for it for many minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():
        return  # found by Ray itself, or not a GCS: Ray says so at once
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S).close()
    except (OSError, OverflowError) as error:
        raise Unavailable(f"There is no Ray cluster at '{address}' ({error}).", _REMEDY) from error


def in_our_words(error: BaseException, what: str) -> WorkbenchError:
    """Return the sentence that an actor ended with, or one about Ray's own failure to do ``what``."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, WorkbenchError):
            return seen
        seen = getattr(seen, "cause", None) or seen.__cause__
    lines = str(error).strip().splitlines()
    return Unavailable(
        f"Ray could not {what} ({lines[-1][:300] if lines else type(error).__name__}).",
        "Look at the cluster's dashboard.",
    )
