"""Makes each call of the storefront to a running shop, whose answers fit the contracts."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from agreed import STOREFRONT, Clients, Recorded, fits
from shopper import Shopper

from shopctl import services
from shopctl.place import ADMIN_EMAIL
from storefront.usecases.office import DEAD_LETTERS, NewProduct
from storefront.usecases.remote import Address, Money

ADDRESS = Address("Ann", "Quay 1", "Emden", "26721", "DE")


class Shop(Clients):
    """Makes the calls to the shop, and checks each answer. `called` has the contracts whose calls were made."""

    def __init__(self, http: Recorded) -> None:
        super().__init__(http)
        self.called: set[str] = set()

    async def make(self, contract: str, *arguments: Any, **named: Any) -> Any:
        self.called.add(contract)
        agreed, found = STOREFRONT[contract], await super().make(contract, *arguments, **named)
        if agreed.get("returns", {}).get("Content-Type") == "text/event-stream":
            fits(contract, found)
            return found
        last = self.http.last
        assert last.status == agreed.get("status", 200), contract
        assert all(name in last.headers for name in agreed.get("returns", {})), contract
        if "schema" in agreed:
            fits(contract, last.json())
        else:
            assert last.body == b"", contract
        return found


async def visits(shop: Shop, sku: str) -> None:
    """Does what a visitor can, and opens an account."""
    await shop.make("shown-categories")
    await shop.make("shown-products", sort="-price")
    await shop.make("shown-product", sku)
    await shop.make("products-of-a-cart", [sku])

    email, password, new = f"{uuid4().hex}@example.org", "correct horse", "battery staple"
    guest = (await shop.make("guest")).access_token
    await shop.make("put-into-the-cart", guest, sku, 2)
    await shop.make("register", email, password, "Ann", "203.0.113.7")
    logged_in = await shop.make("log-in", email, password)
    renewed = await shop.make("renew-tokens", logged_in.refresh_token)
    changed = await shop.make("change-password", renewed.access_token, password, new)
    token = changed.access_token
    assert (await shop.make("own-account", token)).email == email
    merged = await shop.make("merge-carts", token, guest)
    assert merged.count == 2
    assert await shop.make("shown-cart", token) == merged
    assert (await shop.make("remove-from-the-cart", token, sku)).count == 0
    await shop.make("log-out", changed.refresh_token)


async def orders(shop: Shop, shopper: Shopper, sku: str) -> str:
    """Orders twice, cancels the second order, and returns the first one."""
    token, placed = token_of(shopper), []
    for _ in range(2):
        cart = await shop.make("put-into-the-cart", token, sku, 1)
        terms = {"cart_version": cart.version, "payment_method": "tok_visa", "address": ADDRESS}
        order = await shop.make("place-order", token, str(uuid4()), **terms, total=Money(500, "EUR"))
        shopper.waits_for(order.id, "CONFIRMED")
        assert shopper.has_empty_cart()
        placed.append(order.id)
    await shop.make("cancel-order", token, placed[1])
    assert await shop.make("steps-of-an-order", token, placed[0], "1")
    assert (await shop.make("shown-order", token, placed[0])).status == "CONFIRMED"
    assert len((await shop.make("shown-orders", token)).items) == 2
    return str(placed[0])


async def manages(shop: Shop, token: str, order: str) -> None:
    sku = f"TEST-{uuid4().hex[:12].upper()}"
    await shop.make("create-product", token, NewProduct(sku, "Mug", "", "tests", Money(500, "EUR")))
    await shop.make("restock", token, sku, str(uuid4()), 5)
    product = await shop.make("managed-product", token, sku)
    await shop.make("change-product", token, sku, product.version, {"price": Money(600, "EUR")})
    product = await shop.make("managed-product", token, sku)
    assert product.price.amount == 600
    await shop.make("hide-product", token, sku, product.version)
    await shop.make("restore-product", token, sku)
    await shop.make("stock-history", token, sku)
    await shop.make("managed-products", token, q=sku)

    await shop.make("managed-orders", token, status="CONFIRMED")
    found = await shop.make("managed-order", token, order)
    await shop.make("managed-payments", token, state="CAPTURED")
    await shop.make("managed-payment", token, order)
    await shop.make("refund-order", token, order)
    await shop.make("account-by-id", token, found.principal)
    await shop.make("account-by-email", token, ADMIN_EMAIL)
    for service in DEAD_LETTERS:
        await shop.make("dead-letters", token, service)


async def test_the_shop_answers_each_call_as_agreed(shopper, admin) -> None:
    sku = admin.product(stock=2, amount=500)
    async with Recorded(str(shopper.http.base_url), name="anything", timeout=15) as http:
        shop = Shop(http)
        await visits(shop, sku)
        confirmed = await orders(shop, shopper, sku)
        await manages(shop, token_of(admin), confirmed)
    assert shop.called == STOREFRONT.keys()


def token_of(shopper: Shopper) -> str:
    return str(shopper.http.headers["Authorization"]).removeprefix("Bearer ")


def test_the_back_office_asks_every_consumer_for_its_dead_letters() -> None:
    assert set(DEAD_LETTERS) == set(services.load(Path(__file__).parents[2]).consumers)
