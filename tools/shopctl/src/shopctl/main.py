"""The operator's command line: which command is where."""

import logging
from importlib import import_module

import typer
from typer.core import TyperGroup
from typer.main import get_command

COMMANDS = {
    "up": "shopctl.lifecycle:up",
    "down": "shopctl.lifecycle:down",
    "status": "shopctl.status:status",
    "logs": "shopctl.lifecycle:logs",
    "reset": "shopctl.lifecycle:reset",
    "seed": "shopctl.seed:seed",
    "audit": "shopctl.audit.command:audit",
    "bench": "shopctl.bench.command:bench",
    "dead-letters": "shopctl.dead_letters:app",
    "outbox": "shopctl.outbox:app",
    "payments": "shopctl.payments:app",
    "prune": "shopctl.outbox:prune",
    "packages": "shopctl.lifecycle:packages",
}
HIDDEN = {"packages"}  # for the Makefile

# What a library would log, a command says in its own words.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)


class Commands(TyperGroup):
    """Imports a command when it is asked for: some stand on clients that take a second to load."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str):  # type: ignore[no-untyped-def,override]
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command()(found)
            found = single
        command = get_command(found)
        command.name, command.hidden = cmd_name, cmd_name in HIDDEN
        return command


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they may hold passwords
)


@app.callback()
def shopctl() -> None:
    """Run the shop on this machine, look into it, and mend it."""
