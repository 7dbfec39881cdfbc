"""What no service imports: each of its processes would pay for it, in memory and at every start."""

import subprocess
import sys
from pathlib import Path

import pytest

from shopctl import services

SERVICES = services.load(Path(__file__).parents[2])
FOR_TOOLS = {"sqlalchemy", "alembic", "shopctl", "typer", "rich"}
"""Migrations and shopctl need these, in processes of their own."""


@pytest.mark.parametrize("service", SERVICES.names)
def test_a_service_imports_nothing_that_only_tools_need(service: str) -> None:
    program = f"import sys, {service}.main; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert FOR_TOOLS.isdisjoint(imported.split())
