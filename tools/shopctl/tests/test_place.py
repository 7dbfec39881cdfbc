"""Secrets are generated once and private; ports move together, and the holder of a port is found."""

import os
import socket
from pathlib import Path

import pytest

from chassis.local.processes import StartError
from shopctl.native import packages, ports
from shopctl.place import ADMIN_EMAIL, ADMIN_PASSWORD, Place
from shopctl.services import COLLECTED

ROOT = Path(__file__).parents[3]


def test_passwords_are_generated_once_and_private(tmp_path: Path) -> None:
    first = Place(ROOT, tmp_path / "run").passwords
    assert Place(ROOT, tmp_path / "run").passwords == first
    assert len(set(first.values())) == len(first)
    assert (tmp_path / "run" / "secrets").stat().st_mode & 0o777 == 0o600


def test_two_shops_share_no_port(tmp_path: Path) -> None:
    one, other = Place(ROOT, tmp_path), Place(ROOT, tmp_path, offset=1000)
    assert {*one.ports.values()}.isdisjoint(other.ports.values())


def test_a_service_has_a_port_of_its_own(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path)
    (tmp_path / "deploy").mkdir()
    (tmp_path / COLLECTED).write_text('{"reviews": {"port": 8432}}')
    with pytest.raises(StartError, match="the port of one of these"):
        place.port("edge")


def test_the_holder_of_a_port_is_found_and_a_free_port_has_none() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        holder = ports.holder(port)
        assert holder is not None
        assert holder.pid == os.getpid()
        assert "python" in holder.command or "pytest" in holder.command
    assert ports.holder(port) is None


def test_an_ordinary_user_gets_the_command_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "missing", lambda tests, observe: ["rabbitmq-server", "nginx"])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(packages.PackagesMissing, match="sudo apt-get install -y rabbitmq-server nginx"):
        packages.ensure()


def test_removing_a_shop_leaves_other_files(tmp_path: Path) -> None:
    place = Place(ROOT, tmp_path / "run")
    place.make()
    place.log("order").touch()
    (place.run / "letter.txt").touch()
    assert place.passwords
    place.remove()
    assert [path.name for path in place.run.iterdir()] == ["letter.txt"]


def test_the_tools_of_a_shop_are_remembered_and_have_addresses(tmp_path: Path) -> None:
    Place(ROOT, tmp_path / "run").use_tools(["prometheus", "nothing-known"])
    place = Place(ROOT, tmp_path / "run", offset=1000)
    assert place.tools == ("prometheus",)
    assert (place.prometheus_url, place.jaeger_url) == ("http://localhost:9090", None)
    place.use_tools(())
    assert (place.tools, place.prometheus_url) == ((), None)


def test_the_tools_of_a_shop_on_other_machines_are_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_JAEGER_URL", "https://jaeger.example/")
    place = Place(ROOT, tmp_path / "run")
    assert (place.prometheus_url, place.jaeger_url) == (None, "https://jaeger.example")


def test_the_account_of_another_shop_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(ROOT, tmp_path / "run")
    monkeypatch.setenv("ADMIN_PASSWORD", "of something else")
    assert place.admin == (ADMIN_EMAIL, ADMIN_PASSWORD)
    monkeypatch.setenv("SHOP_URL", "https://shop.example/")
    assert (place.admin[1], place.address) == ("of something else", "https://shop.example")
