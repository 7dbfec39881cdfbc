"""The back office under /admin: pages for people whose account has the scope `catalog:write` or `orders:manage`."""

from storefront.routes.office import live, orders, overview, products, stock
from storefront.routes.office.desk import LoginRequired, on_login_required

__all__ = ["LoginRequired", "on_login_required", "routers"]

routers = [overview.router, products.router, stock.router, orders.router, live.router]
