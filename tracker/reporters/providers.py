"""The providers whose webhooks are taken, by name.

Owns the list. Must not hold anything of a provider's own. To add another provider:

1. Write ``tracker/reporters/NAME.py`` with what `tracker.reporters.Reporter` asks for: ``NAME``, ``SECRET``,
   ``check_secret`` and ``read``.
2. In ``read``, verify first, with what the provider documents and in constant time, and only then look at the events.
   Where the provider signs a time, check it with `payloads.check_fresh`, allowing for as long as it tries again.
3. Map the provider's types in one table, ``EVENT_TYPES``, to those of `tracker.core.model.EventType`. Leave out what
   tracker gives no meaning, and the provider's own opens and clicks: `payloads.type_of` keeps those as facts.
4. Find the clues with `payloads.own_fields` and `payloads.clues`, and the codes with `payloads.reply_code`. Imply a
   code only where the provider's documentation says that the type means that the address does not exist.
5. List the module here, and test it in ``tests/unit/test_reporters_NAME.py`` with the provider's documented samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from . import Reporter, mailgun, postal, postmark, sendgrid, ses

_MODULES: Final[tuple[Reporter, ...]] = (ses, sendgrid, mailgun, postal, postmark)

PROVIDERS: Final[Mapping[str, Reporter]] = MappingProxyType({module.NAME: module for module in _MODULES})
