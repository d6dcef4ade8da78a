"""What an attempt's work is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from redis.asyncio import Redis

from skhost.jobs.attempt import Work
from skhost.jobs.line import Line
from skhost.jobs.record import Job
from skhost.keys import Keys
from skhost.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """A claimed job, and what its work may use."""

    settings: Settings
    redis: Redis
    keys: Keys
    job: Job
    line: Line


WorkFactory: TypeAlias = Callable[[Context], Work]
