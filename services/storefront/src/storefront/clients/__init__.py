"""Clients of the other services, over HTTP."""

from storefront.clients.carts import CartClient
from storefront.clients.catalog import CatalogClient
from storefront.clients.identity import IdentityClient
from storefront.clients.office import office
from storefront.clients.orders import OrderClient
from storefront.clients.prometheus import PrometheusClient

__all__ = ["CartClient", "CatalogClient", "IdentityClient", "OrderClient", "PrometheusClient", "office"]
