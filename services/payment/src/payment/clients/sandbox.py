"""The sandbox provider: the psp service."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Self

import msgspec
from pydantic import SecretStr

from chassis.errors import Invalid, Unavailable
from chassis.http import HttpClient, Response
from payment.models import Answer, Operation, Outcome, Payment
from payment.schemas import (
    ChargeRequest,
    ProviderCharge,
    ProviderCharges,
    ProviderProblem,
    ProviderResult,
    RefundRequest,
    Webhook,
)
from payment.usecases import Hint, bad_signature

__all__ = ["SandboxProvider"]

_SIGNATURE = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")
_encode = msgspec.json.Encoder().encode
_result = msgspec.json.Decoder(ProviderResult)


class SandboxProvider:
    """Calls the psp service. `timeout` is in seconds; `connections` limits the calls in flight."""

    def __init__(self, url: str, secret: SecretStr, *, timeout: float, connections: int) -> None:
        self._http = HttpClient(url, name="psp", timeout=timeout, connections=connections)
        self._secret = secret.get_secret_value().encode()

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    async def charge(self, payment: Payment) -> Answer:
        assert payment.amount is not None
        assert payment.currency is not None
        assert payment.payment_method is not None
        body = ChargeRequest(payment.order_id, payment.amount, payment.currency, payment.payment_method)
        return await self._post("/charges", payment.key, body, refusals={"invalid-request"})

    async def refund(self, payment: Payment) -> Answer:
        """Names the order and not the charge, as older releases do, because the body for a key must not change."""
        assert payment.amount is not None
        body = RefundRequest(payment.order_id, payment.amount)
        refusals = {"invalid-request", "charge-not-found", "refund-exceeds-capture"}
        return await self._post("/refunds", payment.key, body, refusals)

    async def find(self, payment: Payment) -> Answer:
        try:
            response = await self._http.get(f"/charges?order_id={payment.order_id}")
            charges = response.json(ProviderCharges).items if response.status == 200 else []
        except (Unavailable, msgspec.DecodeError):
            charges = []
        for charge in charges:
            if charge.key == f"{payment.order_id}:{Operation.CHARGE}":
                return _recorded(payment, charge)
        return Answer(Outcome.UNKNOWN, "not-on-record", stuck=True)

    def hinted(self, headers: Mapping[str, str], body: bytes) -> Hint:
        """Checks `Psp-Signature: t=<unix time>,v1=<hex HMAC-SHA-256 of "<t>.<raw body>">`, then reads the body."""
        match = _SIGNATURE.fullmatch(headers.get("psp-signature", ""))
        if match is None:
            raise bad_signature("Send Psp-Signature: t=<unix time>,v1=<hex HMAC-SHA-256>.")
        at, given = match.groups()
        expected = hmac.new(self._secret, at.encode() + b"." + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, given):
            raise bad_signature("The signature does not belong to this body.")
        try:
            return Hint(msgspec.json.decode(body, type=Webhook).order_id, int(at))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid("invalid-request", "The event is not valid", "It must have an order_id.") from error

    async def _post(self, path: str, key: str, body: msgspec.Struct, refusals: set[str]) -> Answer:
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        try:
            response = await self._http.request("POST", path, headers=headers, body=_encode(body))
        except Unavailable:
            return Answer(Outcome.UNKNOWN, "no-answer")
        try:
            if response.status != 200:
                return _refused(response, refusals)
            result = _result.decode(response.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Answer(Outcome.UNKNOWN, "unreadable-answer", stuck=True)
        if result.status == "succeeded":
            return Answer(Outcome.SUCCEEDED, reference=result.id)
        return Answer(Outcome.REFUSED, result.reason, stuck=True, reference=result.id)


def _refused(response: Response, refusals: set[str]) -> Answer:
    """Only a refusal that is known to leave no trace is definite. Any other status says nothing about the money."""
    slug = response.json(ProviderProblem).type.rpartition("/")[2]
    return Answer(Outcome.REFUSED if slug in refusals else Outcome.UNKNOWN, slug, stuck=True)


def _recorded(payment: Payment, charge: ProviderCharge) -> Answer:
    captured = charge.status == "succeeded"
    if payment.operation is Operation.CHARGE:
        return Answer(Outcome.SUCCEEDED if captured else Outcome.REFUSED, charge.reason, reference=charge.id)
    if payment.amount is not None and charge.refunded >= payment.amount:
        return Answer(Outcome.SUCCEEDED)
    return Answer(Outcome.UNKNOWN, "not-on-record", stuck=True)
