"""Where no key is asked for, a page in somebody's browser must not be a caller.

A browser sends what any page tells it to, also to this machine, and a name of the page's own may
be made to point here. So without keys requests must name a host that is meant, and must not come
from another site.
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from skhost.api.errors import shown
from skhost.errors import Forbidden
from skhost.settings import LOOPBACK, PREFIX, Settings

_ELSEWHERE = frozenset({"cross-site", "same-site"})


def hosts_of(settings: Settings) -> frozenset[str] | None:
    """The host names that a request without a key may name; None: any."""
    if settings.allowed_hosts is not None:
        return frozenset(name.strip().lower() for name in settings.allowed_hosts.split(","))
    return None if settings.allow_remote else LOOPBACK


def check(headers: Headers, method: str, hosts: Collection[str] | None) -> None:
    """Return if a request without a key may be answered.

    Raises:
        Forbidden: it names another host, or another site's page made a browser send it.
    """
    host = headers.get("host", "")
    if hosts is not None and _name(host) not in hosts:
        raise Forbidden(
            f"without API keys this server is not called {shown(host)}; make a key with "
            f"`skhost keys create`, or name the host in {PREFIX}ALLOWED_HOSTS",
            reason="host",
        )
    origin = headers.get("origin")
    is_elsewhere = headers.get("sec-fetch-site") in _ELSEWHERE
    is_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if (origin is not None and urlsplit(origin).netloc != host) or (is_elsewhere and not is_link):
        raise Forbidden(
            "without API keys this server answers no pages of other sites; make a key with "
            "`skhost keys create`",
            reason="site",
        )


def _name(host: str) -> str:
    """A Host header's name, without the port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:  # a broken IPv6 address
        return ""
