"""A connection to a Ray cluster, and its errors in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.errors import Unavailable, WorkbenchError


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
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise Unavailable(
            f"There is no Ray cluster at '{address}' ({str(error)[:200]}).",
            "Start it on this machine (ray start --head), or give its address.",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


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
