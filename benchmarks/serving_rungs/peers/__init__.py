"""What else serves adapters or the same base, each started as its own documentation says."""
