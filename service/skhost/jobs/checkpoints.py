"""Where a job's checkpoint is: on this machine, and in the store too if that is elsewhere."""

import shutil
from time import monotonic
from typing import Final

from skhost.settings import Settings
from skhost.store import ArtifactStore, checkpoint_ref

SAVE_EVERY_S: Final = 5.0  # by the trainer, to local disk
MIRROR_EVERY_S: Final = 20.0  # to a store elsewhere


class Checkpoints:
    """One attempt's view of a job's checkpoint.

    Args:
        token: the attempt's fencing token.
    """

    def __init__(self, settings: Settings, store: ArtifactStore, job_id: str, token: int) -> None:
        folder = settings.data_dir / "checkpoints"
        self.path = folder / job_id
        self._writer = folder / f"{job_id}.token"
        self._store = store
        self._ref = checkpoint_ref(job_id)
        self._token = token
        self._is_shared = not settings.store.startswith("file:")
        self._mirrored_at = monotonic()

    def fetch(self) -> None:
        """Make the newest checkpoint the local one, if there is any.

        The local one is the newest if the last attempt ran here.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._is_shared and self._last_local_token() != self._token - 1:
            shutil.rmtree(self.path, ignore_errors=True)
            self._store.get_tree(self._ref, self.path)
        self._writer.write_text(str(self._token))

    def mirror(self, *, at_once: bool = False) -> None:
        """Copy the checkpoint to a store elsewhere; now and then, unless it has to be at once."""
        is_due = at_once or monotonic() - self._mirrored_at >= MIRROR_EVERY_S
        if self._is_shared and is_due and self.path.is_dir():
            self._store.put_tree(self.path, self._ref, fence=self._token)
            self._mirrored_at = monotonic()

    def discard(self) -> None:
        """Remove the local checkpoint: it is damaged, or of no use any more."""
        shutil.rmtree(self.path, ignore_errors=True)

    def clear(self) -> None:
        """Remove it everywhere."""
        self.discard()
        self._writer.unlink(missing_ok=True)
        if self._is_shared:
            self._store.remove(self._ref)

    def _last_local_token(self) -> int | None:
        try:
            return int(self._writer.read_text())
        except (OSError, ValueError):
            return None
