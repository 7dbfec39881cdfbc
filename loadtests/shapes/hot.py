"""The product that everybody wants: created, stocked and looked at through the API, as the owner does it."""

import json
import os
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

__all__ = ["HotProduct"]

TIMEOUT = 10
CATEGORY = "double11"


class HotProduct:
    """A product of its own for each run. Raises OSError if the shop refuses."""

    def __init__(self, host: str, stock: int) -> None:
        self.host, self.stock = host.rstrip("/"), stock
        self.sku = f"HOT-{uuid.uuid4().hex[:12].upper()}"
        self._sign_in()
        self._send("POST", "/api/catalog/products", self._description())
        # A request adds at most a million units.
        for number in range(-(-stock // 1_000_000)):
            part = min(stock - number * 1_000_000, 1_000_000)
            self._send("PUT", f"/api/catalog/products/{self.sku}/restocks/{self.sku}-{number}", {"quantity": part})

    def level(self) -> dict[str, int]:
        """The units that are `available`, `held` and `sold`."""
        self._sign_in()
        product = self._send("GET", f"/api/admin/products/{self.sku}")
        return {name: product[name] for name in ("available", "held", "sold")}

    def _description(self) -> dict[str, Any]:
        return {
            "sku": self.sku,
            "name": "Brass lantern, this sale only",
            "description": "The product of the flash sale.",
            "category": CATEGORY,
            "price": {"amount": 1111, "currency": "EUR"},
        }

    def _sign_in(self) -> None:
        """Gets a token, which expires after some minutes."""
        form = {"grant_type": "password", "username": os.environ.get("ADMIN_EMAIL", ""), "password": _password()}
        self._headers: dict[str, str] = {}
        token = self._open("POST", "/api/identity/token", urlencode(form).encode())["access_token"]
        self._headers = {"Authorization": f"Bearer {token}"}

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        return self._open(method, path, None if body is None else json.dumps(body).encode(), "application/json")

    def _open(self, method: str, path: str, data: bytes | None, kind: str = "application/x-www-form-urlencoded") -> Any:
        headers = self._headers | ({"Content-Type": kind} if data is not None else {})
        request = urllib.request.Request(f"{self.host}{path}", data, headers, method=method)  # noqa: S310
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=TIMEOUT) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise OSError(f"{method} {path}: {error.code} {error.read(500).decode(errors='replace')}") from error


def _password() -> str:
    """ADMIN_PASSWORD, or the content of the file that ADMIN_PASSWORD_FILE names."""
    if file := os.environ.get("ADMIN_PASSWORD_FILE"):
        return Path(file).read_text(encoding="utf-8").strip()
    return os.environ.get("ADMIN_PASSWORD", "")
