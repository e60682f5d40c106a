"""`python -m cli` is `nameplate`."""

from cli.main import app

app()
