"""The client of identity."""

from urllib.parse import urlencode

import msgspec

from chassis.http import HttpClient
from storefront.clients.answers import bearer, decoded
from storefront.usecases.remote import Account, Granted

__all__ = ["IdentityClient"]

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


class IdentityClient:
    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def guest(self) -> Granted:
        return decoded(await self._http.request("POST", "/api/identity/guests", retry=True), Granted, "identity")

    async def sign_in(self, email: str, password: str) -> Granted:
        return await self._token(grant_type="password", username=email, password=password)

    async def refresh(self, token: str) -> Granted:
        """Is sent once more if the answer is lost: identity then returns the same tokens again."""
        return await self._token(retry=True, grant_type="refresh_token", refresh_token=token)

    async def _token(self, retry: bool = False, **form: str) -> Granted:
        body = urlencode(form).encode()
        response = await self._http.request("POST", "/api/identity/token", headers=FORM, body=body, retry=retry)
        return decoded(response, Granted, "identity")

    async def revoke(self, token: str) -> None:
        body = urlencode({"token": token}).encode()
        response = await self._http.request("POST", "/api/identity/revoke", headers=FORM, body=body, retry=True)
        if response.status != 200:
            decoded(response, Granted, "identity")

    async def register(self, email: str, password: str, name: str, client: str) -> Account:
        body = msgspec.json.encode({"email": email, "password": password, "name": name})
        headers = JSON | {"X-Forwarded-For": client}
        response = await self._http.request("POST", "/api/identity/accounts", headers=headers, body=body)
        return decoded(response, Account, "identity")

    async def change_password(self, token: str, current: str, new: str) -> Granted:
        body = msgspec.json.encode({"current_password": current, "new_password": new})
        response = await self._http.request("POST", "/api/identity/password", headers=JSON | bearer(token), body=body)
        return decoded(response, Granted, "identity")

    async def me(self, token: str) -> Account:
        return decoded(await self._http.get("/api/identity/me", headers=bearer(token)), Account, "identity")
