"""Years of the certificate lifecycle in a minute: the product's decisions on an injected clock, against a model CA."""
