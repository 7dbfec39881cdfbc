"""The objects that the routes need."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from psp.models import Faults
from psp.repository import Store
from psp.usecases import Liar


@dataclass(frozen=True, slots=True)
class Parts:
    """The ledger, the current fault, and what sends false webhooks."""

    store: Store
    faults: Faults
    liar: Liar


async def _parts(request: Request) -> Parts:
    parts: Parts = request.state.parts
    return parts


Given = Annotated[Parts, Depends(_parts)]
