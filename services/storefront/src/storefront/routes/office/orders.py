"""Orders in the back office: the list, one order with all that is known about it, and refunds."""

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import Response

from storefront.models.progress import MADE
from storefront.routes.forms import Form, form_of, see_other
from storefront.routes.office.desk import ORDERS, Desk, OrderId, address, desk, found, unknown_order
from storefront.usecases.office import AnyOrder, AnyOrders, Payment
from storefront.usecases.remote import Account, Refused

__all__ = ["id_of", "router"]

router = APIRouter(include_in_schema=False)

Manager = Annotated[Desk, Depends(desk(ORDERS))]

STATUSES = tuple(MADE)
REFUNDABLE = "CONFIRMED"


@router.get("/admin/orders")
async def list_orders(desk: Manager) -> Response:
    """Lists orders, newest first. `find` is an order ID, or the email address of an account."""
    asked = Form(desk.request.query_params)
    find = asked.text("find")[:254]
    if (id := id_of(find)) is not None:
        return see_other(f"/admin/orders/{id}")
    query = {
        "status": asked.text("status") if asked.text("status") in STATUSES else None,
        "waiting_seconds": asked.number("waiting_seconds"),
        "principal": asked.text("principal")[:100] or None,
    }
    cursor = id_of(asked.text("cursor"))
    account = await _account_of(desk, find) if find else None
    orders = AnyOrders([])
    if account is not None or not find:
        principal = account.id if account else query["principal"]
        orders = await _list(desk, **{**query, "principal": principal}, cursor=cursor, limit=50)
    following = {**query, "find": find, "cursor": orders.next_cursor}
    return await desk.page(
        "office_orders.html",
        orders=orders.items,
        query=query,
        find=find,
        account=account,
        statuses=STATUSES,
        more=address("/admin/orders", following) if orders.next_cursor else None,
    )


@router.get("/admin/orders/{order_id}")
async def show_order(desk: Manager, order_id: OrderId) -> Response:
    return await _page(desk, order_id)


@router.get("/admin/orders/{order_id}/refund")
async def confirm_refund(desk: Manager, order_id: OrderId) -> Response:
    """Asks whether to refund the order."""
    order = await _order(desk, order_id)
    if order.status != REFUNDABLE:
        return see_other(f"/admin/orders/{order_id}")
    customer = await found(_customer(desk, order))
    return await desk.page("office_refund.html", order=order, customer=customer)


@router.post("/admin/orders/{order_id}/refund")
async def refund(desk: Manager, order_id: OrderId) -> Response:
    """Refunds the order. One that is being refunded already stays so."""
    await form_of(desk.request)
    try:
        await desk.office.orders.refund(desk.token, order_id)
    except Refused as refused:
        if refused.slug != "not-refundable":
            raise
        order = await _order(desk, order_id)
        if not order.status.startswith("REFUND"):
            return await _page(desk, order_id, refused=True, status=409)
    return see_other(f"/admin/orders/{order_id}")


async def _page(desk: Desk, order_id: str, *, refused: bool = False, status: int = 200) -> Response:
    """Shows an order with its payment and its customer; each of these two may be missing."""
    order, payment = await asyncio.gather(_order(desk, order_id), found(_payment(desk, order_id)))
    customer = await found(_customer(desk, order))
    return await desk.page(
        "office_order.html",
        status,
        order=order,
        payment=payment,
        customer=customer,
        refused=refused,
        refundable=order.status == REFUNDABLE,
        done="refunding" if order.status == "REFUNDING" else "",
    )


async def _order(desk: Desk, order_id: str) -> AnyOrder:
    """Raises NotFound."""
    try:
        return await desk.office.orders.get(desk.token, order_id)
    except Refused as refused:
        if refused.status != 404:
            raise
        raise unknown_order() from refused


async def _payment(desk: Desk, order_id: str) -> tuple[Payment | None]:
    """Returns the order's payment, or (None,) if there is none yet."""
    try:
        return (await desk.office.payments.get(desk.token, order_id),)
    except Refused as refused:
        if refused.slug != "unknown-payment":
            raise
        return (None,)


async def _customer(desk: Desk, order: AnyOrder) -> tuple[Account | None]:
    """Returns the account that placed an order, or (None,) for a guest."""
    if id_of(order.principal) is None:
        return (None,)
    return (await desk.office.accounts.by_id(desk.token, order.principal),)


async def _list(desk: Desk, **query: str | int | None) -> AnyOrders:
    """Returns the orders that a query finds: none if it cannot find any, such as one with a control character."""
    try:
        return await desk.office.orders.list(desk.token, **query)
    except Refused as refused:
        if refused.status != 422:
            raise
        return AnyOrders([])


async def _account_of(desk: Desk, email: str) -> Account | None:
    try:
        return await desk.office.accounts.by_email(desk.token, email)
    except Refused as refused:
        if refused.status != 422:  # it can be no address
            raise
        return None


def id_of(text: str) -> str | None:
    try:
        return str(UUID(text))
    except ValueError:
        return None
