"""The objects that the routes need."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from psp.models import Faults
from psp.repository import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """The ledger, and the current fault."""

    store: Store
    faults: Faults


async def _parts(request: Request) -> Parts:
    parts: Parts = request.state.parts
    return parts


Given = Annotated[Parts, Depends(_parts)]
