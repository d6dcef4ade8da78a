"""Who changed what: one line an action on the logger `skhost.audit`, JSON wherever it goes."""

import logging
from typing import Any, Final

LOGGER: Final = "skhost.audit"

log = logging.getLogger(LOGGER)


def record(action: str, on: str, *, by: str, tenant: str, outcome: str, **more: Any) -> None:
    """Write one line.

    Args:
        action: what was asked, such as adapter.promote.
        on: the adapter, job or key.
        by: id of the API key, or who used the command line; "anyone" where there are no keys.
        outcome: done, refused or failed.
    """
    fields = {"action": action, "on": on, "by": by, "tenant": tenant, "outcome": outcome}
    log.info("%s %s by %s: %s", action, on, by, outcome, extra=fields | more)
