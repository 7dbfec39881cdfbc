"""Tests that remove a binding or a queue with its messages; afterwards everything agrees without intervention."""

import asyncio
import os
import subprocess
import time

import aio_pika
import pytest

from chassis.local.servers import RabbitMQ
from chassis.local.system import rabbitmq_program
from shopctl.native.shop import NativeShop
from shopctl.shop import Shop
from shopctl.status import Backlog, look_into

pytestmark = pytest.mark.timeout(240)


def test_one_of_two_bindings_is_missing_for_a_while(shop, flow, audit) -> None:
    """A message that reached only the other queue must not count as delivered to both."""
    with flow() as orders:
        asyncio.run(rebind(shop, "unbind", "catalog", "order.confirmed.v1"))
        time.sleep(10)
        asyncio.run(rebind(shop, "bind", "catalog", "order.confirmed.v1"))
    audit("--attempts", str(orders.attempts))


def test_queues_are_deleted_with_their_messages(shop, flow, audit) -> None:
    with flow() as orders:
        for queue in ("catalog", "order"):
            rabbitmqctl(shop, "delete_queue", "--vhost", "quayside", queue)
        assert look(shop).missing == ["catalog", "order"]
        rabbitmqctl(shop, "import_definitions", definitions(shop))
    audit("--attempts", str(orders.attempts))
    assert (look(shop).missing, look(shop).unconsumed) == ([], [])


async def rebind(shop: Shop, way: str, queue: str, key: str) -> None:
    async with await aio_pika.connect(shop.place.broker_url("operator")) as connection:
        channel = await connection.channel()
        await getattr(await channel.get_queue(queue, ensure=False), way)(f"{queue}.in", key)


def look(shop: Shop) -> Backlog:
    """Reads the backlog as `make status` does."""
    return asyncio.run(look_into(shop.place))


def definitions(shop: Shop) -> str:
    """Returns the path of the broker's definitions, as the broker sees it."""
    if isinstance(shop, NativeShop):
        return str(shop.place.data / "rabbitmq" / "definitions.json")
    return "/etc/rabbitmq/definitions.json"


def rabbitmqctl(shop: Shop, *arguments: str) -> None:
    """Runs rabbitmqctl where the broker runs."""
    if isinstance(shop, NativeShop):
        server = shop.servers["rabbitmq"]
        assert isinstance(server, RabbitMQ)
        command = server.command()
        argv = [rabbitmq_program("rabbitmqctl"), "--node", "rabbit@localhost", *arguments]
        environment = {**command.env, "RABBITMQ_DIST_PORT": ""}  # the broker already uses that port
        options = {"env": environment, "cwd": command.cwd, "user": command.user, "group": command.user}
    else:
        (container,) = shop.containers("rabbitmq")
        argv, options = ["docker", "exec", container, "rabbitmqctl", *arguments], {"env": os.environ}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
