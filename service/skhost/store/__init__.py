"""Where artifacts, uploads and checkpoints are kept: a local folder, or any fsspec filesystem."""

from skhost.store.artifacts import ArtifactStore, checkpoint_ref, rows_ref, upload_ref

__all__ = ["ArtifactStore", "checkpoint_ref", "rows_ref", "upload_ref"]
