"""Injects a fault, and undoes it whatever happens: a note on disk says what to undo if this process is killed."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import msgspec

from chassis.local.processes import StartError
from chassis.local.system import make_passable, write
from shopctl.chaos import catalog
from shopctl.chaos.fault import Fault, State, Target
from shopctl.console import reason

__all__ = ["Note", "heal", "injected", "notes"]

FOLDER = "chaos/active"


class Note(msgspec.Struct):
    """A fault that is in effect, or about to be. `at` is in seconds since 1970."""

    fault: str
    on: str
    at: float
    pid: int
    state: State


@dataclass(frozen=True)
class _Injection:
    file: Path
    shop: Target
    note: Note

    def undo(self) -> None:
        """End the fault. The note stays if that fails, so that `heal` can try again."""
        catalog.find(self.note.fault).end(self.shop, self.note.on, self.note.state)
        self.file.unlink(missing_ok=True)


@contextmanager
def injected(shop: Target, fault: Fault, on: str) -> Iterator[Note]:
    """Inject the fault on `on` inside the block, which gets its note.

    Raises StartError or OSError if it cannot be injected or undone.
    """
    if on not in fault.on(shop):
        raise StartError(f"{fault.name} cannot be injected on {on!r}, only on {', '.join(fault.on(shop))}.")
    note = Note(fault.name, on, time.time(), os.getpid(), fault.prepare(shop, on))
    injection = _Injection(_folder(shop) / f"{uuid4().hex}.json", shop, note)
    try:
        unfinished = injection.file.with_suffix(".tmp")  # a note is there as a whole or not at all
        write(unfinished, json.dumps(msgspec.to_builtins(note), indent=2), user=None)
        unfinished.replace(injection.file)
        fault.begin(shop, on, note.state)
        yield note
    finally:
        try:
            injection.undo()
        except KeyboardInterrupt:
            injection.undo()  # `console.interruptible` interrupts only once
            raise


def notes(shop: Target) -> list[Note]:
    """The faults that are in effect, the oldest first. Raises StartError if a note cannot be read."""
    found, unreadable = _injections(shop)
    if unreadable:
        raise StartError("\n".join(unreadable))
    return [each.note for each in found]


def heal(shop: Target) -> list[Note]:
    """Undo all faults that are in effect, the newest first; returns them. Raises StartError for those that remain."""
    found, remaining = _injections(shop)
    healed = []
    for each in reversed(found):
        try:
            each.undo()
            healed.append(each.note)
        except Exception as error:  # whatever it is, the others must be undone
            remaining.append(f"{each.note.fault} on {each.note.on} is still in effect: {reason(error)}")
    if remaining:
        raise StartError("\n".join(remaining))
    return healed


def _injections(shop: Target) -> tuple[list[_Injection], list[str]]:
    """The oldest first, and what is wrong with notes that cannot be read."""
    found, unreadable = [], []
    for file in _folder(shop).glob("*.json"):
        try:
            found.append(_Injection(file, shop, msgspec.json.decode(file.read_bytes(), type=Note)))
        except (OSError, msgspec.DecodeError) as error:
            unreadable.append(f"{file} cannot be read: {error}. Remove it, and start the shop again.")
    return sorted(found, key=lambda each: each.note.at), unreadable


def _folder(shop: Target) -> Path:
    make_passable(shop.place.run)
    folder = shop.place.run / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder
