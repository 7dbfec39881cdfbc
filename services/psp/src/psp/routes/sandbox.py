"""The HTTP routes that a real provider does not have: faults, repeated webhooks, and health."""

from fastapi import APIRouter

from psp import schemas, usecases
from psp.routes.parts import Given
from psp.routes.problems import problems

router = APIRouter()


@router.post("/sandbox/faults", responses=problems(400))
async def set_faults(body: schemas.FaultRequest, given: Given) -> schemas.Fault:
    """Sets a fault of every charge and refund, for some requests or until `none`."""
    given.faults.set(body.mode, body.seconds, body.for_requests)
    return schemas.Fault.model_validate(given.faults, from_attributes=True)


@router.get("/sandbox/faults", responses=problems())
async def get_faults(given: Given) -> schemas.Fault:
    """Shows the current fault."""
    return schemas.Fault.model_validate(given.faults, from_attributes=True)


@router.post("/sandbox/webhooks/replay", status_code=202, responses=problems(400, 404))
async def replay_webhooks(body: schemas.ReplayRequest, given: Given) -> schemas.Replay:
    """Sends a webhook for every result of an order, even if one was sent before."""
    return schemas.Replay(queued=await usecases.announce_order(given.store, body.order_id))


@router.get("/health/live")
@router.get("/health/ready")
@router.get("/health/startup")
async def health() -> dict[str, str]:
    return {"status": "ok"}
