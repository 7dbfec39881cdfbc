"""`python -m shopctl`, where the package is not installed."""

from shopctl.main import app

app(prog_name="shopctl")
