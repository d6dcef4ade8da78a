"""Who may do what: API keys, their scopes and tenants. Knows nothing of HTTP or models."""
