"""The artifact stores of all tenants, under one URL."""

from pathlib import Path

from skhost.store.artifacts import ArtifactStore


class Stores:
    """A store a tenant.

    Args:
        url, cache_dir: as for `ArtifactStore`.

    Raises:
        StoreUnavailable: nothing installed knows such URLs.
    """

    def __init__(self, url: str, cache_dir: Path) -> None:
        self._url = url
        self._cache_dir = cache_dir
        self._made: dict[str, ArtifactStore] = {}

    def of(self, tenant: str) -> ArtifactStore:
        """The tenant's store."""
        if tenant not in self._made:
            self._made[tenant] = ArtifactStore(self._url, tenant, self._cache_dir)
        return self._made[tenant]

    def fetch(self, digest: str, tenant: str, /) -> Path:
        """A local folder with an artifact of the tenant's; see `ArtifactStore.get`."""
        return self.of(tenant).get(digest)
