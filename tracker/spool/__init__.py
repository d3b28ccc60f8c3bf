"""The local durable log of events: what stands between a hit's answer and the status store.

Owns the events from the moment of their commit until the store has them. Must not know the store,
nor what an event means.
"""

from .log import Spool
from .reading import SpoolStatus
from .slots import inspect

__all__ = ["Spool", "SpoolStatus", "inspect"]
