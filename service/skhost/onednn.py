"""How much memory products of matrices may keep; set before torch is imported."""

import os
from typing import Final

# oneDNN compiles a product for every shape it meets, and texts of all lengths in batches of all
# sizes make thousands; each takes most of a megabyte. oneDNN keeps the last 1,024, and torch keeps
# as many besides. docs/operations.md has what fewer cost.
KEPT: Final = 256
_NAMES: Final = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")


def keep_fewer_products() -> None:
    """Bound both caches of this process, unless the environment has bounds of its own."""
    for name in _NAMES:
        os.environ.setdefault(name, str(KEPT))
