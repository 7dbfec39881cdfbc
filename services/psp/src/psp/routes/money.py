"""The HTTP routes for charges, refunds and the ledger."""

import asyncio
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from psp import schemas, usecases
from psp.models import Kind, Settled, Trouble
from psp.routes.parts import Given, Parts
from psp.routes.problems import SERVER_ERROR, once, problem, problems
from psp.routes.wire import LostReply
from psp.usecases import LATE

IdempotencyKey = Annotated[str, Header(alias="Idempotency-Key", pattern=r"^[!-~]{1,255}$")]

router = APIRouter()


@router.post("/charges", response_model=schemas.Charge, responses=problems(400))
async def create_charge(body: schemas.ChargeRequest, key: IdempotencyKey, given: Given, request: Request) -> Response:
    """Captures money, or fails with a reason. Both are definite and answered with 200."""
    arrived = monotonic()
    trouble = given.faults.next()
    if trouble is Trouble.ERROR_BEFORE:
        return problem(*SERVER_ERROR)
    settled = await usecases.charge(
        given.store,
        key=key,
        order_id=body.order_id,
        amount=body.amount,
        currency=body.currency,
        payment_method=body.payment_method,
        trouble=trouble,
    )
    return await _answer(settled, given, request, arrived)


@router.post("/refunds", response_model=schemas.Refund, responses=problems(400, 404, 409))
async def create_refund(body: schemas.RefundRequest, key: IdempotencyKey, given: Given, request: Request) -> Response:
    """Refunds a captured charge, in part or in full."""
    arrived = monotonic()
    trouble = given.faults.next()
    if trouble is Trouble.ERROR_BEFORE:
        return problem(*SERVER_ERROR)
    settled = await usecases.refund(
        given.store,
        key=key,
        order_id=body.order_id,
        charge_id=body.charge_id,
        amount=body.amount,
        trouble=trouble,
    )
    return await _answer(settled, given, request, arrived)


async def _answer(settled: Settled, given: Parts, request: Request, arrived: float) -> Response:
    match settled.trouble:
        case Trouble.SLOW:
            await asyncio.sleep(given.faults.seconds)
        case Trouble.ERROR_AFTER:
            return problem(*SERVER_ERROR)
        case Trouble.LOST_REPLY:
            raise LostReply
        case Trouble.LIES:
            await given.liar.lie(settled.entry)
        case _ if monotonic() - arrived > LATE.total_seconds() or await request.is_disconnected():
            await usecases.announce(given.store, settled.entry)
    schema: type[schemas.Result] = schemas.Refund if settled.entry.kind is Kind.REFUND else schemas.Charge
    return Response(
        schema.model_validate(settled.entry).model_dump_json(),
        media_type="application/json",
        headers={"Idempotent-Replayed": "true"} if settled.replayed else None,
    )


@router.get("/charges", responses=problems())
async def list_charges(
    request: Request, query: Annotated[schemas.ChargesQuery, Query()], given: Given
) -> schemas.ChargeList:
    """Lists an order's charges, including failed ones."""
    once(request)
    found = await usecases.charges(given.store, query.order_id)
    return schemas.ChargeList(items=[schemas.ChargeRecord.of(charge, refunded) for charge, refunded in found])


@router.get("/ledger", responses=problems())
async def read_ledger(
    request: Request, query: Annotated[schemas.LedgerQuery, Query()], given: Given
) -> schemas.LedgerPage:
    """Lists all captures and refunds, in order."""
    once(request)
    entries = await usecases.ledger(given.store, query.after, query.limit)
    return schemas.LedgerPage(
        items=[schemas.LedgerEntry.of(seq, entry) for seq, entry in entries],
        next_after=entries[-1][0] if len(entries) == query.limit else None,
    )
