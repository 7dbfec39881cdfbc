"""Every command has a help text, and exit codes suit scripts: 0 success, 1 failure, 2 wrong usage."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shopctl.main import app

COMMANDS = [
    *(["up"], ["down"], ["status"], ["logs"], ["reset"], ["seed"], ["prune"]),
    *(["dead-letters", "list"], ["dead-letters", "show"], ["dead-letters", "replay"]),
    *(["outbox", "replay"], ["payments", "list"], ["trace"], ["top"]),
]


@pytest.fixture
def cli(tmp_path: Path) -> CliRunner:
    ours = {"SHOP_RUN": str(tmp_path), "SHOP_PORT_OFFSET": "30000", "RUNTIME": "native", "COLUMNS": "200"}
    return CliRunner(env=ours)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_a_help_text(cli: CliRunner, command: list[str]) -> None:
    result = cli.invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert "completion" not in result.output


@pytest.mark.parametrize("group", [[], ["dead-letters"], ["outbox"], ["payments"]], ids=" ".join)
def test_no_command_offers_to_change_the_shell(cli: CliRunner, group: list[str]) -> None:
    assert "completion" not in cli.invoke(app, [*group, "--help"]).output


def test_the_version_is_printed(cli: CliRunner) -> None:
    result = cli.invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"shopctl {version('quayside-shopctl')}\n")


@pytest.mark.parametrize(
    "command",
    [
        ["dead-letters", "list"],
        ["outbox", "replay", "--since", "2026-01-01"],
        ["payments", "list"],
        ["seed"],
        ["prune"],
        ["logs"],
        ["logs", "nobody"],
        ["logs", "--order", "01a2"],
        ["trace", "01a2"],
        ["top"],
        ["top", "--json"],
    ],
    ids=" ".join,
)
def test_commands_that_need_a_shop_fail_with_one_line_without_it(cli: CliRunner, command: list[str]) -> None:
    result = cli.invoke(app, command)
    assert result.exit_code == 1
    assert result.output.strip()
    assert "Traceback" not in result.output


def test_status_of_a_stopped_shop_is_json_and_a_failure(cli: CliRunner) -> None:
    result = cli.invoke(app, ["status", "--json"])
    assert result.exit_code == 1
    assert {row["state"] for row in json.loads(result.stdout)["processes"]} == {"stopped"}


def test_reset_asks_first(cli: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    assert cli.invoke(app, ["reset"], input="n\n").exit_code == 1
    assert (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    "command", [["prune", "--days", "0"], ["outbox", "replay"], ["logs", "-n", "many"]], ids=" ".join
)
def test_wrong_usage_is_status_2(cli: CliRunner, command: list[str]) -> None:
    assert cli.invoke(app, command).exit_code == 2
