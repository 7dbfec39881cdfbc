"""Clients of the other services, over HTTP."""

from storefront.clients.carts import CartClient
from storefront.clients.catalog import CatalogClient
from storefront.clients.identity import IdentityClient

__all__ = ["CartClient", "CatalogClient", "IdentityClient"]
