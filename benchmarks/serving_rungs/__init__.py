"""The rungs of the serving benchmark: from bare matrix products up to the whole engine."""
