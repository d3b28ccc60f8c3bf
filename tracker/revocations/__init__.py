"""What this node knows to be revoked, whether or not the store is there: links, and sessions of the console."""

from __future__ import annotations

from .file import REVOCATIONS_FILE, DiskUnavailable
from .following import Revocations

__all__ = ["REVOCATIONS_FILE", "DiskUnavailable", "Revocations"]
