"""What the process holds, as routes get it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from psp.models import Faults
from psp.repository import Store


@dataclass(frozen=True, slots=True)
class Provider:
    """The ledger, and the faults that it was told to have."""

    store: Store
    faults: Faults


def _provider(request: Request) -> Provider:
    provider: Provider = request.state.provider
    return provider


TheProvider = Annotated[Provider, Depends(_provider)]
