"""How much a key and a tenant may ask: requests as they come, tokens as they were used.

Counted in Redis by the library `limits`, so that all servers count together. Without Redis nothing
is counted and nobody is refused: classification does not depend on it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Final

from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import (
    FixedWindowRateLimiter,
    RateLimiter,
    SlidingWindowCounterRateLimiter,
)
from redis.asyncio import Redis
from redis.exceptions import RedisError

from skhost.access.record import Caller, Quotas
from skhost.errors import RateLimited
from skhost.keys import CommonKeys
from skhost.metrics import Metrics

log = logging.getLogger(__name__)

WITHIN_S: Final = 0.25  # a slow Redis costs a request no more than this
AWAY_S: Final = 1.0  # then it is left alone for so long


class Unit(StrEnum):
    """What is counted."""

    REQUESTS = "requests"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class Policy:
    """One bound that a caller is under."""

    name: str  # as clients see it: key-requests, tenant-tokens, …
    unit: Unit
    whose: str
    item: RateLimitItem


@dataclass(frozen=True, slots=True)
class Standing:
    """How much of a bound is left."""

    policy: Policy
    remaining: int
    reset_s: int  # until there is more


class Limiter:
    """Counts what callers ask.

    Args:
        each: bounds of a key that has none of its own; `tenant` those of a tenant.
    """

    def __init__(self, redis: Redis, each: Quotas, tenant: Quotas, metrics: Metrics) -> None:
        storage = RedisStorage(
            "async+redis://",
            implementation="redispy",
            key_prefix=CommonKeys().limits(),
            connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # as documented
        )
        # Requests: no burst of twice the bound where two windows meet. Tokens are known only once
        # they were used, so their counter must be able to pass the bound.
        self._strategies: Mapping[Unit, RateLimiter] = {
            Unit.REQUESTS: SlidingWindowCounterRateLimiter(storage),
            Unit.TOKENS: FixedWindowRateLimiter(storage),
        }
        self._each = each
        self._tenant = tenant
        self._metrics = metrics
        self._away_until = 0.0

    def policies(self, caller: Caller, tenant: Quotas | None) -> list[Policy]:
        """The bounds that a caller is under; `tenant` are those of its tenant's own."""
        theirs = tenant or Quotas()
        bounds = [
            ("tenant", Unit.REQUESTS, caller.tenant, theirs.requests or self._tenant.requests),
            ("tenant", Unit.TOKENS, caller.tenant, theirs.tokens or self._tenant.tokens),
        ]
        if (key_id := caller.key_id) is not None:
            own = caller.quotas
            bounds += [
                ("key", Unit.REQUESTS, key_id, own.requests or self._each.requests),
                ("key", Unit.TOKENS, key_id, own.tokens or self._each.tokens),
            ]
        return [
            Policy(f"{kind}-{unit}", unit, whose, parse(bound))
            for kind, unit, whose, bound in bounds
            if bound is not None
        ]

    async def admit(self, policies: Sequence[Policy]) -> list[Standing]:
        """Count a request; where it stands then.

        Raises:
            RateLimited: a bound is reached; `retry_after_s` says when there is room again.
        """
        is_under: list[bool] = []
        standings: list[Standing] = []
        async with self._counting(policies) as may_count:
            if may_count:
                is_under = await asyncio.gather(*(self._count(policy) for policy in policies))
                standings = await asyncio.gather(*(self._standing(p) for p in policies))
        reached = [each for each, ok in zip(standings, is_under, strict=False) if not ok]
        if reached:
            worst = max(reached, key=lambda each: each.reset_s)
            self._metrics.limited(worst.policy.name)
            raise _refusal(worst, standings)
        return standings

    async def charge(self, policies: Sequence[Policy], tokens: int) -> None:
        """Count tokens that were used."""
        under = [policy for policy in policies if policy.unit is Unit.TOKENS] if tokens else []
        async with self._counting(under) as may_count:
            if may_count:
                counter = self._strategies[Unit.TOKENS]
                hits = (counter.hit(p.item, p.name, p.whose, cost=tokens) for p in under)
                await asyncio.gather(*hits)

    @asynccontextmanager
    async def _counting(self, policies: Sequence[Policy]) -> AsyncIterator[bool]:
        """Whether there is something to count, and Redis; left without an error if it is away."""
        if not policies:
            yield False
            return
        if time.monotonic() < self._away_until:
            self._metrics.limits_skipped()
            yield False
            return
        try:
            async with asyncio.timeout(WITHIN_S):
                yield True
        except (TimeoutError, RedisError) as error:
            log.warning("limits are not counted: the registry does not answer: %s", error)
            self._away_until = time.monotonic() + AWAY_S
            self._metrics.limits_skipped()

    async def _count(self, policy: Policy) -> bool:
        counter = self._strategies[policy.unit]
        if policy.unit is Unit.TOKENS:
            return await counter.test(policy.item, policy.name, policy.whose)
        return await counter.hit(policy.item, policy.name, policy.whose)

    async def _standing(self, policy: Policy) -> Standing:
        counter = self._strategies[policy.unit]
        stats = await counter.get_window_stats(policy.item, policy.name, policy.whose)
        reset_s = ceil(max(1.0, stats.reset_time - time.time()))
        return Standing(policy, max(0, stats.remaining), reset_s)


def headers_of(standings: Sequence[Standing]) -> dict[str, str]:
    """``RateLimit-Policy`` and ``RateLimit`` as the IETF's draft has them."""
    if not standings:
        return {}
    return {
        "RateLimit-Policy": ", ".join(_policy_field(each.policy) for each in standings),
        "RateLimit": ", ".join(
            f'"{each.policy.name}";r={each.remaining};t={each.reset_s}' for each in standings
        ),
    }


def _policy_field(policy: Policy) -> str:
    unit = ';qu="tokens"' if policy.unit is Unit.TOKENS else ""
    return f'"{policy.name}";q={policy.item.amount}{unit};w={policy.item.get_expiry()}'


def _refusal(worst: Standing, standings: Sequence[Standing]) -> RateLimited:
    policy = worst.policy
    whose = "API key" if policy.name.startswith("key") else "tenant"
    error = RateLimited(
        f"this {whose} may use {policy.item.amount} {policy.unit} a "
        f"{policy.item.GRANULARITY.name}; there is room again in {worst.reset_s} s",
        details={"policy": policy.name},
        retry_after_s=worst.reset_s,
    )
    error.headers |= headers_of(standings)
    error.reason = policy.name
    return error
