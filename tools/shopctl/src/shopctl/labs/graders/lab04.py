"""Grades lab 4: Valkey has a network of its own, and the shop works as before."""

from typing import Any

from shopctl.labs import Lab, Missing, looking
from shopctl.place import Place

lab = Lab()
lab.start("the shop runs in containers", remedy="make up", look=looking.shop_is_healthy_in_containers)

lab.question("c", hint="Start cart again while rabbitmq is stopped. What are its health, and the last line of its log?")
lab.question("a", hint="Stop postgres. Ask catalog what Docker asks it, and then what a shopper asks it.")
lab.question("b", hint="Try both. In which of the two cases has a person asked Docker to end the container?")
lab.question("b", hint="Try `reaches storefront postgres 5432`.")
lab.question("c", hint="Which container wrote the order, and which one read it? Where does compose.yaml put the data?")

USERS = {"cart", "storefront"}
"""The services that keep something in Valkey."""


def networks(container: dict[str, Any]) -> set[str]:
    return set(container["NetworkSettings"]["Networks"])


@lab.check(
    "Valkey shares a network with cart and storefront, and with nothing else",
    points=2,
    hint="Containers reach each other if they have one network in common. On which networks is each of them?",
)
def valkey_is_apart() -> None:
    found = looking.containers()
    if "valkey" not in found:
        raise Missing("valkey does not run")
    valkey = found.pop("valkey")
    if valkey["HostConfig"]["PortBindings"]:
        raise Missing("it publishes a port, so each container can reach it")
    own = networks(valkey)
    near = {name for name, each in found.items() if networks(each) & own}
    if surplus := sorted(near - USERS):
        raise Missing(f"{', '.join(surplus)} can reach it too")
    if absent := sorted(USERS - near):
        raise Missing(f"{', '.join(absent)} cannot reach it")


@lab.check(
    "the whole shop is healthy with it",
    points=1,
    hint="`docker compose ps --all` shows what does not run.",
    after=valkey_is_apart,
)
def the_shop_is_healthy() -> None:
    looking.shop_is_healthy_in_containers()


@lab.check(
    "the storefront's pages open",
    points=1,
    hint="Who has to reach the storefront, and whom does it ask? The log of the edge says what it cannot reach.",
    after=valkey_is_apart,
)
def its_pages_open() -> None:
    looking.page_opens(f"{Place.here().address}/")


@lab.check(
    "an order was placed since then, and is CONFIRMED",
    points=1,
    hint="fill_cart; place_order another-key",
    after=valkey_is_apart,
)
def an_order_is_confirmed() -> None:
    running = looking.containers()
    created = looking.told("docker", "network", "inspect", *networks(running["valkey"]))
    since = max(
        *(running[name]["State"]["StartedAt"] for name in ("valkey", *USERS)),
        *(each["Created"] for each in created),
    )
    query = f"SELECT id FROM orders WHERE status = 'CONFIRMED' AND created_at > '{since}'"  # noqa: S608
    if not looking.rows("order", query):
        raise Missing("no order that is younger than Valkey's network and these three containers is CONFIRMED")
