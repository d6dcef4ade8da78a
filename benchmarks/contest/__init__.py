"""SK-Tuning beside other ways to train a classifier, under the same conditions."""
