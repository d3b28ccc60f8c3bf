"""The status store: where events are kept for good and folded, and what operators have set up.

Owns what is kept and how it is written. The concrete databases are named only where the process is put together.
"""

from .database import Database
from .store import Change, OnList, Store

__all__ = ["Change", "Database", "OnList", "Store"]
