"""Fixtures for every test of the project: the stores of `chassis.testing`, with this shop's topology."""

from pathlib import Path

import pytest
from hypothesis import settings

from shopctl.native.definitions import render
from shopctl.place import BROKER_USERS

pytest_plugins = ["chassis.testing.fixtures"]

# A test that is slow on a busy machine has not failed.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def rabbitmq_definitions() -> str:
    template = Path(__file__).parent / "deploy" / "rabbitmq" / "definitions.json.template"
    return render(template.read_text(), {user: user for user in BROKER_USERS})
