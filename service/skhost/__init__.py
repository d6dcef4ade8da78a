"""One frozen base model, many text classifiers: the service."""

__version__ = "0.1.0"
