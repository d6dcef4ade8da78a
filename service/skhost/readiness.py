"""Whether a request could be answered now, proved by a real forward."""

import asyncio
import time
from typing import Any

import numpy as np

from skhost.batcher import Batcher
from skhost.errors import NotReady
from skhost.registry import Registry
from skhost.runner import Runner
from sktuning.adapter import Adapter
from sktuning.classify import Classifier
from sktuning.data import TextInput
from sktuning.errors import InputError

TTL_S = 1.0  # a forward that has just worked need not be repeated for every probe
STUCK_AFTER_S = 60.0


class Readiness:
    """Looks at what a request passes through, and sends one through.

    Args:
        probe: an adapter that needs no file.
    """

    def __init__(
        self,
        registry: Registry,
        batcher: Batcher[Any, Any],
        runner: Runner,
        classifier: Classifier,
        probe: Adapter,
    ) -> None:
        self._registry = registry
        self._batcher = batcher
        self._runner = runner
        self._classifier = classifier
        self._probe = probe
        self._good_until = 0.0
        self._one_at_a_time = asyncio.Lock()

    async def check(self, timeout_s: float = 5.0) -> None:
        """Return if the server is ready.

        Raises:
            NotReady: why not.
        """
        if not self._registry.is_synced:
            raise NotReady("the registry has not been read yet: it does not answer")
        if not self._batcher.is_serving:
            raise NotReady("no batches are formed any more; restart the server")
        if self._runner.is_stuck(STUCK_AFTER_S):
            raise NotReady(f"a batch has been running for {self._runner.busy_s:.0f} s")
        async with self._one_at_a_time:
            if time.monotonic() >= self._good_until:
                await self._try_forward(timeout_s)
                self._good_until = time.monotonic() + TTL_S

    async def _try_forward(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                logits = await self._runner.call(self._forward)
        except TimeoutError:
            raise NotReady(f"a forward took more than {timeout_s:g} s") from None
        except RuntimeError as error:  # what torch raises, also for a device that is gone
            raise NotReady(f"a forward failed: {error}") from error
        if not np.isfinite(logits).all():
            raise NotReady("a forward gave no finite numbers")

    def _forward(self) -> np.ndarray:
        row = self._classifier.encoder.encode([TextInput("ready")], self._probe.config)[0]
        if isinstance(row, InputError):
            raise RuntimeError(f"the probe's text cannot be encoded: {row}")
        return self._classifier.logits([(row, self._probe)])[0]
