"""With wrong settings the process and the first migration exit, with a line for each of them."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from chassis.db import migrations


def test_without_settings_the_process_exits_with_a_line_for_each() -> None:
    command = [sys.executable, "-m", "uvicorn", "--factory", "identity.main:create", "--port", "0"]
    ended = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines() == [
        f"identity: {variable} is not set; set it, or {variable}_FILE" for variable in ("DATABASE_URL",)
    ]


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"ENVIRONMENT": "staging"}, "ENVIRONMENT must be 'development' or 'production'"),
        ({"ADMIN_EMAIL": "admin"}, "ADMIN_EMAIL must look like admin@example.com"),
        (
            {"ADMIN_PASSWORD": "quayside-admin"},
            "ADMIN_PASSWORD holds a placeholder;"
            " set a secret of your own, or ADMIN_PASSWORD_FILE, or ENVIRONMENT=development",
        ),
        (
            {"ADMIN_PASSWORD_FILE": "/nowhere"},
            "ADMIN_PASSWORD_FILE: /nowhere cannot be read (no such file or directory);"
            " mount it readable, or correct the path",
        ),
    ],
)
def test_the_first_migration_reports_a_wrong_setting_in_one_line(
    database: Callable[[str | None], str], monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], line: str
) -> None:
    for name, value in ({"DATABASE_URL": database(None)} | environment).items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit) as ended:
        migrations.main(["identity"])

    assert ended.value.code == f"identity: {line}"


def test_a_wrong_first_account_leaves_no_schema(
    database: Callable[[str | None], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database(None))
    monkeypatch.setenv("ADMIN_EMAIL", "admin")
    with pytest.raises(SystemExit):
        migrations.main(["identity"])

    with pytest.raises(SystemExit, match="the schema is at no revision"):
        migrations.main(["--check", "identity"])
