"""The operator's command line, with the module of each command."""

import errno
import logging
import os
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from chassis.local.processes import StartError
from shopctl import __version__
from shopctl.console import fail, reason, say_what_can_be_said

COMMANDS = {
    "up": "shopctl.lifecycle:up",
    "down": "shopctl.lifecycle:down",
    "status": "shopctl.status:status",
    "top": "shopctl.top.command:top",
    "logs": "shopctl.logs.command:logs",
    "trace": "shopctl.trace.command:trace",
    "reset": "shopctl.lifecycle:reset",
    "seed": "shopctl.seed:seed",
    "audit": "shopctl.audit.command:audit",
    "bench": "shopctl.bench.command:bench",
    "bench-scale": "shopctl.bench.command:bench_scale",
    "load": "shopctl.load.command:load",
    "chaos": "shopctl.chaos.command:app",
    "lab": "shopctl.labs.command:app",
    "model": "shopctl.models.command:app",
    "dead-letters": "shopctl.dead_letters:app",
    "outbox": "shopctl.outbox:app",
    "payments": "shopctl.payments:app",
    "prune": "shopctl.outbox:prune",
    "packages": "shopctl.lifecycle:packages",
    "derive": "shopctl.derived:derive",
}
HIDDEN = {"packages", "derive"}  # for the Makefile

# Commands report this library's errors themselves.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)


def _is_here(command: str) -> bool:
    """Whether there is such a command, and its package is installed."""
    package, _, _ = COMMANDS.get(command, "").rpartition(".")
    return bool(package and find_spec(package))


class Commands(TyperGroup):
    """Imports a command when it is used: some need clients that take a second to load.

    The image has no `lab` and no `model`: they are for a clone.
    """

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return [name for name in COMMANDS if _is_here(name)]

    def get_command(self, ctx: typer.Context, cmd_name: str):  # type: ignore[no-untyped-def,override]
        if not _is_here(cmd_name):
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

    def main(self, *args: Any, **kwargs: Any) -> Any:
        say_what_can_be_said()
        for name in [name for name in os.environ if name.startswith("PG")]:
            del os.environ[name]  # libpq's settings are not ours: the URLs hold everything
        return super().main(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Report errors that any command can have, such as an invalid port offset or a full disk, in one line."""
        try:
            return super().invoke(ctx)
        except StartError as error:
            fail(error)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # the reader of our output has gone
            fail(f"{error.filename}: {error.strerror}" if error.filename else reason(error))


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they may hold passwords
)


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"shopctl {__version__}")
        raise typer.Exit


@app.callback()
def shopctl(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Run the shop on this machine, inspect it and repair it."""
