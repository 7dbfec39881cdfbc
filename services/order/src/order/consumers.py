"""Maps messages to use cases."""

from functools import partial

from pydantic import SecretStr

from chassis.db import Database
from chassis.messaging import Consumer, handles
from order import messages
from order.usecases import saga

__all__ = ["consumer"]


def consumer(db: Database, url: SecretStr | str) -> Consumer:
    return Consumer(
        url,
        "order",
        [
            handles(messages.StockReserved, partial(saga.stock_reserved, db)),
            handles(messages.StockRejected, partial(saga.stock_rejected, db)),
            handles(messages.PaymentCaptured, partial(saga.payment_captured, db)),
            handles(messages.PaymentFailed, partial(saga.payment_failed, db)),
            handles(messages.PaymentCancelled, partial(saga.payment_cancelled, db)),
        ],
    )
