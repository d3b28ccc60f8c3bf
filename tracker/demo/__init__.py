"""``tracker demo``: a real service, a letter to a few people and all that can become of it, three batches compared.

Owns the story and its printing. Must reach the service over HTTP alone, as everyone else does.
"""

from .story import run_demo

__all__ = ["run_demo"]
