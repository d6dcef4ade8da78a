"""Parts of few_rows.py: adapters that learn from a handful of rows a label."""
