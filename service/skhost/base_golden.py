"""What the base itself computes on fixed texts: recorded once, looked at again while it serves."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sktuning.adapter import Adapter
from sktuning.classify import Classifier, pool
from sktuning.data import TextInput
from sktuning.golden import REPEATED, dtype_name
from sktuning.tokens import EncodedRow

TEXTS: Final = ("ready", "The quick brown fox jumps over 13 lazy dogs.")


class BasePoisoned(Exception):
    """The base does not compute what it did: its weights in memory, or the device, are damaged."""


class BaseGolden:
    """Pooled states of fixed texts, with a prompt before them and without.

    Made from a base that has proved itself against the stock model (`sktuning.probe`). Making and
    checking run a forward, so on the device thread.

    Args:
        probe: an adapter whose prompt is put before the texts.
    """

    def __init__(self, classifier: Classifier, probe: Adapter) -> None:
        self._classifier = classifier
        self._probe = probe
        encoded = classifier.encoder.encode([TextInput(text) for text in TEXTS], probe.config)
        self._rows = [row for row in encoded if isinstance(row, EncodedRow)]
        self._tolerance = REPEATED[dtype_name(classifier.base.dtype)]
        self._expected = self._states()

    def check(self) -> None:
        """Compute them again and compare.

        Raises:
            BasePoisoned: twice they were not finite, or others.
        """
        problem = self._problem() and self._problem()
        if problem:
            raise BasePoisoned(problem)

    def _problem(self) -> str | None:
        seen = self._states()
        if not np.isfinite(seen).all():
            return "a forward of the base gives no finite numbers"
        scale = float(np.abs(self._expected).max())
        error = float(np.abs(seen - self._expected).max()) / scale
        if error <= self._tolerance:
            return None
        return f"the base's states are off by {error:.1e} of their scale; {self._tolerance:.0e}"

    def _states(self) -> NDArray[np.float32]:
        """(rows with and without prompt, H)"""
        config = self._probe.config
        states = (self._probe.state, None)
        hidden = self._classifier.hidden([(r, config, s) for s in states for r in self._rows])
        pooled = pool(hidden, self._rows * len(states), config)
        return np.asarray(pooled.cpu().float().numpy())
