"""Whether the server can go on, and whether it could answer now, proved by a real forward."""

import asyncio
import time
from typing import Any

from skhost.base_golden import BaseGolden, BasePoisoned
from skhost.batcher import Batcher
from skhost.errors import NotReady
from skhost.registry import Registry
from skhost.runner import Runner

TTL_S = 1.0  # a forward that has just worked need not be repeated for every probe
GIVEN_UP = 2.0  # times the bound, after which a stuck device is not waited for any more


class Readiness:
    """Looks at what a request passes through, and sends one through.

    Args:
        golden: what the base computed when it was loaded.
        stuck_after_s: seconds after which a device that finishes nothing counts as stuck.
    """

    def __init__(
        self,
        registry: Registry,
        batcher: Batcher[Any, Any],
        runner: Runner,
        golden: BaseGolden,
        stuck_after_s: float,
    ) -> None:
        self._registry = registry
        self._batcher = batcher
        self._runner = runner
        self._golden = golden
        self._stuck_after_s = stuck_after_s
        self._poisoned: str | None = None
        self._good_until = 0.0
        self._one_at_a_time = asyncio.Lock()

    @property
    def failure(self) -> str | None:
        """Why only another process can help; None while this one can go on."""
        if self._runner.lost is not None:
            return f"the device is lost: {self._runner.lost}"
        if self._runner.is_stuck(GIVEN_UP * self._stuck_after_s):
            return f"the device has finished nothing for {self._runner.busy_s:.0f} s"
        return self._poisoned

    def check_alive(self) -> None:
        """Return if this process can go on; asks nobody.

        Raises:
            NotReady: it should be ended: its device is stuck or lost, or its base damaged.
        """
        self.check_sound()
        if self._runner.is_stuck(self._stuck_after_s):
            raise NotReady(f"the device has finished nothing for {self._runner.busy_s:.0f} s")

    def check_sound(self) -> None:
        """Return if what is computed here can be believed, as far as is known.

        Raises:
            NotReady: it cannot.
        """
        if (reason := self.failure) is not None:
            raise NotReady(f"this server ends and has to be started again: {reason}")

    async def check(self, timeout_s: float = 5.0) -> None:
        """Return if the server is ready.

        Raises:
            NotReady: why not.
        """
        if not self._registry.is_synced:
            raise NotReady("the registry has not been read yet: it does not answer")
        if not self._batcher.is_serving:
            raise NotReady("no batches are formed any more; restart the server")
        self.check_alive()
        async with self._one_at_a_time:
            if time.monotonic() >= self._good_until:
                await self.check_base(timeout_s)

    async def check_base(self, timeout_s: float) -> None:
        """Return if the base computes what it did when it was loaded; runs a forward.

        Raises:
            NotReady: it does not, or not within the time.
        """
        self.check_sound()
        try:
            async with asyncio.timeout(timeout_s):
                await self._runner.call(self._golden.check)
        except TimeoutError:
            raise NotReady(f"a forward took more than {timeout_s:g} s") from None
        except BasePoisoned as error:
            self._poisoned = str(error)
            raise NotReady(self._poisoned) from error
        except RuntimeError as error:  # what torch raises, also for a device that is gone
            raise NotReady(f"a forward failed: {error}") from error
        self._good_until = time.monotonic() + TTL_S
