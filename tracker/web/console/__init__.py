"""The operators' pages below ``/console``: batches, their comparison, messages, search, settings.

Owns what operators see and their sessions. Every page is made on the server and runs no script.
"""

from .console import Console

__all__ = ["Console"]
