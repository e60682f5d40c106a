"""Years of the certificate lifecycle in a minute: the product's own decisions on an injected clock, against a model CA."""
