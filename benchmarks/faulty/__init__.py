"""Faults injected from outside into a running service, and what its users saw of them."""
