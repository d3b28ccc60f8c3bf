"""Tells the environment's faults from the data's, at the edge where a driver's exceptions come out.

Owns the translation. Which exceptions are which, each store says for its own driver; what neither
list names is a bug, and passes through unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tracker.core.errors import EventRejected, StoreUnavailable

Faults = tuple[type[Exception], ...]


@contextmanager
def translated(unavailable: Faults, rejected: Faults = ()) -> Iterator[None]:
    """Raise `EventRejected` for the faults in ``rejected`` and `StoreUnavailable` for those in ``unavailable``.

    The driver's words on rejected data are left out, since they quote it; the cause has them.
    """
    try:
        yield
    except rejected as error:
        raise EventRejected(f"the store can never take this batch: {type(error).__name__}") from error
    except unavailable as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
