"""The page of the operator's command line: what `shopctl --help` and each command's `--help` say."""

from collections.abc import Iterator

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File
from tables import table

from shopctl.main import app

INTRODUCTION = """# shopctl

The operator's command line, as `--help` shows it. `make` runs the commands that are needed daily; the others are called
as `.venv/bin/shopctl`.
"""


def files(config: MkDocsConfig) -> Iterator[File]:
    """Yields the page."""
    context = typer.Context(typer.main.get_command(app), info_name="shopctl")
    yield File.generated(config, "reference/shopctl.md", content="\n\n".join([INTRODUCTION, *_commands(context)]))


def _commands(context: typer.Context) -> Iterator[str]:
    command = context.command
    if isinstance(command, typer.core.TyperGroup):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below and not below.hidden:
                yield from _commands(typer.Context(below, info_name=name, parent=context))
        return
    yield f"## `{context.command_path}`"
    yield (command.help or "").replace("\f", "").strip()
    rows = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and "--help" not in parameter.opts:
            rows.append((f"`{record[0]}`", " ".join(record[1].split())))
    if rows:
        yield table(["argument or option", "meaning"], rows)
