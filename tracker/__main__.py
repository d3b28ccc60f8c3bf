"""``python -m tracker``: the same as the command ``tracker``."""

from .cli import main

raise SystemExit(main())
