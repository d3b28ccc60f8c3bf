"""``tracker demo``: a real service, a newsletter to seven recipients, and all that can become of it.

Owns the story and its printing. Must reach the service over HTTP alone, as everyone else does.
"""

from .story import run_demo

__all__ = ["run_demo"]
