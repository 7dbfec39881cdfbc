"""A message that no service can read, for tests of dead letters."""

import aio_pika

from shopctl.shop import Shop


async def send_nonsense(shop: Shop, queue: str) -> None:
    """Sends one to a queue that receives confirmed orders; the service then puts it into its dead letters."""
    async with await aio_pika.connect(shop.place.broker_url("operator")) as connection:
        exchange = await (await connection.channel()).get_exchange(f"{queue}.in", ensure=False)
        await exchange.publish(aio_pika.Message(b"?"), routing_key="order.confirmed.v1")


async def forget_nonsense(shop: Shop, queue: str) -> None:
    """Empties the dead letters of a queue."""
    async with await aio_pika.connect(shop.place.broker_url("operator")) as connection:
        await (await (await connection.channel()).get_queue(f"{queue}.dead", ensure=False)).purge()
