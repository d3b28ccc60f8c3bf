"""What this node remembers of recipients for when the store is away: who may not be written to, who may be tracked."""

from __future__ import annotations

from .following import RECIPIENTS_FILE, Recall

__all__ = ["RECIPIENTS_FILE", "Recall"]
