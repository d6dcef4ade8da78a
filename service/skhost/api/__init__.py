"""The HTTP edge: routes, request and response models, errors as bodies."""
