"""Where artifacts, uploads and checkpoints are kept: a local folder, or any fsspec filesystem."""

from skhost.store.artifacts import ArtifactStore, checkpoint_ref, rows_ref, upload_ref
from skhost.store.stores import Stores

__all__ = ["ArtifactStore", "Stores", "checkpoint_ref", "rows_ref", "upload_ref"]
