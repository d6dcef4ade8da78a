"""The targets by name; each is imported when it is asked for."""

from fuzzing.target import Target

NAMES = ("uploads", "artifacts", "checkpoints")


def make(name: str) -> Target:
    """The target of that name."""
    if name == "uploads":
        from fuzzing.uploads import Uploads

        return Uploads()
    from fuzzing.artifacts import Artifacts, Checkpoints

    return Artifacts() if name == "artifacts" else Checkpoints()
