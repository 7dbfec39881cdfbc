"""Messages to use cases."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pydantic import SecretStr

from chassis.db import Database
from chassis.messaging import Consumer, handles
from order import messages
from order.usecases import saga

__all__ = ["consumer"]


def consumer(db: Database, url: SecretStr) -> Consumer:
    def bound(usecase: Callable[..., Awaitable[None]]) -> Any:
        return partial(usecase, db)

    return Consumer(
        url,
        "order",
        dict(
            [
                handles(messages.StockReserved, bound(saga.stock_reserved)),
                handles(messages.StockRejected, bound(saga.stock_rejected)),
                handles(messages.PaymentCaptured, bound(saga.payment_captured)),
                handles(messages.PaymentFailed, bound(saga.payment_failed)),
                handles(messages.PaymentCancelled, bound(saga.payment_cancelled)),
            ]
        ),
    )
