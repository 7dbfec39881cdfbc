"""Accounts: signing in, and registering before that."""

import os
import time
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from personas.answer import Answer
from personas.shopper import Shopper

__all__ = ["Account", "administrator", "own_account"]

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
PASSWORD = "a-password-for-load-tests"  # noqa: S105
SIGNED_IN = 600.0
"""Seconds after which a person signs in again; a token is valid for 15 minutes."""


class Account:
    """An account with its current token. `registers` tells whether it is created when it does not exist."""

    def __init__(self, person: Shopper, email: str, password: str, *, registers: bool = False) -> None:
        self._person, self._email, self._password, self._registers = person, email, password, registers
        self._token, self._since = "", 0.0

    def token(self) -> str:
        """Returns a valid access token, or an empty text if the shop gives none now."""
        if self._token and time.monotonic() - self._since < SIGNED_IN:
            return self._token
        answer = self._sign_in()
        if answer.status == 400 and self._registers and self._register().ok:
            answer = self._sign_in()
        self._token, self._since = answer.data["access_token"] if answer.ok else "", time.monotonic()
        return self._token

    def _sign_in(self) -> Answer:
        form = urlencode({"grant_type": "password", "username": self._email, "password": self._password})
        expected = (400,) if self._registers else ()
        return self._person.call(
            "sign in", "POST", "/api/identity/token", content=form, headers=FORM, expected=expected
        )

    def _register(self) -> Answer:
        body = msgspec.json.encode({"email": self._email, "password": self._password, "name": "Ann Lee"}).decode()
        return self._person.call("register", "POST", "/api/identity/accounts", content=body, headers=JSON)


def own_account(person: Shopper) -> Account:
    """Returns the account of a shopper, which is the same in each run with the same SEED."""
    name = f"{type(person).__name__}-{os.environ.get('SEED') or 1}-{person.number}".lower()
    return Account(person, f"{name}@shoppers.example", PASSWORD, registers=True)


def administrator(person: Shopper) -> Account:
    """Returns the account that ADMIN_EMAIL and ADMIN_PASSWORD (or ADMIN_PASSWORD_FILE) name."""
    file, password = os.environ.get("ADMIN_PASSWORD_FILE"), os.environ.get("ADMIN_PASSWORD")
    if file and not password:
        password = Path(file).read_text(encoding="utf-8").strip()
    return Account(person, os.environ.get("ADMIN_EMAIL") or "admin@quayside.example", password or "quayside-admin")
