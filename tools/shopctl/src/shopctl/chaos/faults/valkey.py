"""Valkey is full, or has lost everything."""

import re
from collections.abc import Sequence

from chassis.local.processes import StartError
from shopctl.chaos.fault import Fault, State, Target

__all__ = ["FAULTS"]

ERROR = re.compile(r"[A-Z]{2,} ")
"""How an error begins, such as `NOPERM `."""


def _valkey(shop: Target) -> Sequence[str]:
    return ["valkey"]


def _command(shop: Target, command: str) -> str:
    """The answer to one command. The password is given as input, because everyone can read arguments."""
    port = ["-p", str(shop.place.port("valkey"))] if shop.runtime == "native" else []
    given = f"AUTH {shop.place.passwords['valkey']}\n{command}\n"
    authenticated, _, answer = shop.execute("valkey", "valkey-cli", *port, input=given).partition("\n")
    if authenticated != "OK" or ERROR.match(answer):
        raise StartError(f"Valkey refuses {command}: {answer if authenticated == 'OK' else authenticated}")
    return answer.strip()


def _limit(shop: Target, on: str) -> State:
    return {"maxmemory": _command(shop, "CONFIG GET maxmemory").split()[-1]}


def _fill(shop: Target, on: str, state: State) -> None:
    _command(shop, "CONFIG SET maxmemory 1")


def _make_room(shop: Target, on: str, state: State) -> None:
    _command(shop, f"CONFIG SET maxmemory {state['maxmemory']}")


def _empty(shop: Target, on: str, state: State) -> None:
    _command(shop, "FLUSHALL")


def _nothing(shop: Target, on: str, state: State) -> None:
    """What is lost stays lost."""


FAULTS = (
    Fault(
        "valkey-full",
        "makes Valkey refuse to store anything, and lets it store again",
        _valkey,
        _fill,
        _make_room,
        prepare=_limit,
    ),
    Fault(
        "valkey-empty",
        "removes all from Valkey for good: carts are lost, and visitors are signed out",
        _valkey,
        _empty,
        _nothing,
        seconds=(0.0, 3.0),
    ),
)
