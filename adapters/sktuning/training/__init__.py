"""Training an adapter: one loop over packed batches that yields its progress."""
