"""The runtime is Docker if it answers, otherwise plain processes; the choice is remembered."""

import os
from pathlib import Path

import pytest

from chassis.local.processes import StartError
from shopctl import runtime
from shopctl.compose import ComposeShop
from shopctl.place import Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place without a shop, on a machine without Docker."""
    monkeypatch.delenv("RUNTIME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return Place(Path(__file__).parents[3], tmp_path / "run", offset=30_000)


def install_docker(tmp_path: Path, *, compose: str = "2.26.1", engine: str = "echo 28.0") -> None:
    """A docker command that reports these versions and has no containers."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncase "$*" in version*) {engine} ;; "compose version"*) echo {compose} ;; esac\n')
    program.chmod(0o755)


def test_without_docker_it_runs_as_plain_processes(place: Place) -> None:
    shop, why = runtime.starting(place)
    assert (shop.runtime, why) == ("native", "there is no docker command")


def test_where_docker_answers_it_runs_in_containers(place: Place, tmp_path: Path) -> None:
    install_docker(tmp_path)
    shop, why = runtime.starting(place)
    assert (shop.runtime, why) == ("compose", "a Docker Engine answers")


def test_a_docker_command_without_an_engine_is_not_enough(place: Place, tmp_path: Path) -> None:
    install_docker(tmp_path, engine="exit 1")
    shop, why = runtime.starting(place)
    assert (shop.runtime, why) == ("native", "no Docker Engine answers")


@pytest.mark.parametrize("version", ["1.29.2", "2.25.0", "v2.9.0"])
def test_an_old_compose_is_not_enough(place: Place, tmp_path: Path, version: str) -> None:
    install_docker(tmp_path, compose=version)
    shop, why = runtime.starting(place)
    assert shop.runtime == "native"
    assert why == f"Docker Compose is {version.lstrip('v')}, and 2.26 is needed"


def test_the_environment_decides(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_docker(tmp_path)
    monkeypatch.setenv("RUNTIME", "native")
    assert runtime.starting(place)[0].runtime == "native"


def test_what_up_chose_is_remembered(place: Place, tmp_path: Path) -> None:
    runtime.starting(place)
    install_docker(tmp_path)
    assert runtime.current(place).runtime == "native"


def test_an_unknown_runtime_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME", "podman")
    with pytest.raises(StartError, match="RUNTIME=podman: there are native and compose"):
        runtime.current(place)


def test_two_runtimes_do_not_run_one_shop(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, _ = runtime.starting(place)
    ours = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    shop.place.pid_file("order").write_text(f"{os.getpid()} {ours}\n")
    monkeypatch.setenv("RUNTIME", "compose")
    with pytest.raises(StartError, match="RUNTIME=native make down"):
        runtime.starting(place)


def test_containers_can_read_mounts_whatever_the_umask_of_the_clone(tmp_path: Path) -> None:
    file = tmp_path / "deploy" / "valkey" / "valkey.conf"
    file.parent.mkdir(parents=True, mode=0o700)
    file.touch(mode=0o600)
    ComposeShop(Place(tmp_path, tmp_path / "run")).open_mounts()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o644, 0o755)
