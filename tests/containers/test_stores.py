"""Tests of a session's stores as containers: they are removed however it ends, and errors take one line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chassis.testing import stores

SESSION = """
import pathlib, time
pytest_plugins = ["chassis.testing.fixtures"]

def test_that_asks_for_a_store(valkey_url):
    pathlib.Path("starting").write_text(valkey_url)
    pathlib.Path("starting").rename("started")
    {then}
"""


@pytest.fixture
def session(tmp_path: Path):
    """`session("assert False")` starts a test session with one test that gets a Valkey and then runs this code."""

    def start(then: str, **environment: str) -> subprocess.Popen[str]:
        (tmp_path / "test_one.py").write_text(SESSION.format(then=then))
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_one.py"],
            cwd=tmp_path,
            env=os.environ | {"TEST_STORES": "containers", "TESTCONTAINERS_RYUK_DISABLED": "true", **environment},
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def container(docker, tmp_path: Path):
    """`container()` returns the ID of the session's container, running or stopped, or an empty string."""

    def find() -> str:
        port = (tmp_path / "started").read_text().rpartition(":")[2].partition("/")[0]
        return docker("ps", "--all", "--quiet", "--filter", f"publish={port}")

    return find


def test_a_session_that_fails_leaves_no_container(session, container) -> None:
    process = session("assert False")

    output, _ = process.communicate(timeout=60)
    assert (process.returncode, "1 failed" in output) == (1, True)
    assert container() == ""


def test_a_terminated_session_leaves_no_container(session, container, tmp_path: Path) -> None:
    process = session("time.sleep(60)")
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        time.sleep(0.05)
    assert container() != ""

    process.send_signal(signal.SIGTERM)

    process.communicate(timeout=30)
    assert container() == ""


def test_an_engine_that_does_not_answer_is_reported_in_one_line(session) -> None:
    output, _ = session("pass", DOCKER_HOST="unix:///nowhere/docker.sock").communicate(timeout=60)

    assert (
        output.splitlines()[-1].strip("! ").endswith("No Docker Engine answers: start it, or set TEST_STORES=native")
    ), output


def test_a_missing_image_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "containers", lambda: True)
    monkeypatch.setattr(stores, "VALKEY_IMAGE", "localhost:1/valkey:none")

    with pytest.raises(stores.StartError) as raised, stores.valkey():
        pass

    assert str(raised.value).startswith("localhost:1/valkey:none does not start (")
    assert str(raised.value).endswith("); see `docker pull localhost:1/valkey:none`, or set TEST_STORES=native")
    assert "\n" not in str(raised.value)
