"""``tracker demo``: a real service, a real newsletter, and mail clients that open, click and unsubscribe.

Owns the story and its printing. Must reach the service over HTTP alone, as everyone else does.
"""

from .story import run_demo

__all__ = ["run_demo"]
