"""Generated from `proto/sidecar/wire/` by `proto/generate.py`; never edited."""
