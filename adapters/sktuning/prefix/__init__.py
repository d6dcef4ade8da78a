"""SK-prefix: keys and values before every layer's own."""
