"""The operator's command line: each command is a module of its own."""

import logging

import typer

from shopctl import dead_letters, lifecycle, outbox, payments, seed, status

# What a library would log, a command says in its own words.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)

app = typer.Typer(
    help="Run the shop on this machine, look into it, and mend it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they may hold passwords
)
app.command()(lifecycle.up)
app.command()(lifecycle.down)
app.command()(status.status)
app.command()(lifecycle.logs)
app.command()(lifecycle.reset)
app.command()(seed.seed)
app.command()(outbox.prune)
app.command(hidden=True)(lifecycle.packages)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(outbox.app, name="outbox")
app.add_typer(payments.app, name="payments")
