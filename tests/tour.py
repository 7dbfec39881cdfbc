"""A tour through the shop that gives every metric something to count, as far as that needs no fault."""

import httpx2
from shopper import Admin, Shopper, race

from shopctl.shop import Shop

PATHS = (
    *("/", "/", "/search?q=soap", "/login", "/p/NO-SUCH-SKU"),
    *("/api/catalog/products?q=espreso", "/api/catalog/categories"),
)


def tour(shop: Shop, admin: Admin) -> None:
    """Reads pages, searches, signs in, and orders: confirmed, declined, sold out, cancelled and refunded. Takes 1 s."""
    place = shop.place
    html = {"Accept": "text/html"}
    with httpx2.Client(base_url=place.address, headers=html, timeout=15, trust_env=False) as visitor:
        for path in PATHS:
            visitor.get(path)
        visitor.post("/checkout")
        visitor.get("/api/cart", headers={"Authorization": "Bearer nonsense"})
        form = {"grant_type": "password", "username": "nobody@quayside.example", "password": "wrong"}
        visitor.post("/api/identity/token", data=form)
    sku, scarce, gone = (admin.product(stock) for stock in (100, 1, 0))
    orders = [
        (shopper := Shopper(place), shopper.buy(product, quantity, method))
        for product, quantity, method in (
            (sku, 1, "tok_visa"),
            (sku, 2, "tok_visa"),
            (sku, 1, "tok_declined"),
        )
    ]
    orders += race(shop, scarce)
    late = Shopper(place)
    late.put(gone)
    late.order()  # is refused, because nothing is left
    shopper = Shopper(place)
    orders.append((shopper, regretted := shopper.buy(sku)))
    shopper.http.post(f"/api/orders/{regretted}/cancel").raise_for_status()
    for shopper, order in orders:
        shopper.waits_for(order)
    refunded = orders[0][1]
    admin.http.post(f"/api/admin/orders/{refunded}/refund").raise_for_status()
    orders[0][0].waits_for(refunded, "REFUNDED")
