"""A server on 127.0.0.1 that answers as Stripe's API is documented to.

stripe-mock keeps no state, so it cannot decline, time out, or repeat an answer. This server replays the JSON of
Stripe's documentation (API version 2026-10-28): PaymentIntents, refunds and errors. It also keeps idempotency keys as
Stripe does: their first answer is stored and repeated, even a 500. Stripe's test payment methods choose the outcome.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

Answer = tuple[int, dict[str, Any]]

DECLINES = {
    "pm_card_visa_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", None),
    "pm_card_authenticationRequired": ("authentication_required", "authentication_not_handled"),
}


@dataclass
class StripeApi:
    """`troubles` befall the next POSTs in turn:

    - `lost`: the request is carried out, and its answer does not come
    - `unheard`: it is not carried out, and no answer comes
    - `failed`: it is carried out, and 500 is answered and stored
    - 401, 409, 429: it is answered so, and neither carried out nor stored
    """

    troubles: list[Any] = field(default_factory=list)
    calls: list[tuple[str, str | None]] = field(default_factory=list)
    intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    stored: dict[str, Answer] = field(default_factory=dict)
    refund_status: str = "succeeded"
    searchable: bool = True

    @property
    def keys(self) -> list[str | None]:
        """The idempotency keys of all charges and refunds that were sent."""
        return [key for call, key in self.calls if call in ("POST /v1/payment_intents", "POST /v1/refunds")]

    @property
    def taken(self) -> int:
        """What was captured and not given back."""
        return sum(intent["amount_received"] for intent in self.intents.values()) - sum(
            refund["amount"] for refund in self.refunds.values() if refund["status"] == "succeeded"
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = (await request.read()).decode()
        key = request.headers.get("Idempotency-Key")
        self.calls.append((f"{request.method} {request.path}", key))
        trouble = self.troubles.pop(0) if self.troubles and request.method == "POST" else None
        if trouble == "unheard":
            await asyncio.sleep(60)
        if isinstance(trouble, int):
            return answered((trouble, TROUBLES[trouble]))
        replayed = key in self.stored
        if key is None or not replayed:
            answer = self.carry_out(request, dict(parse_qsl(body)))
            if trouble == "failed":
                answer = 500, error("api_error", None, "An unknown error occurred")
            if key is not None:
                self.stored[key] = answer
        else:
            answer = self.stored[key]
        if trouble == "lost":
            await asyncio.sleep(60)
        return answered(answer, replayed=replayed)

    def carry_out(self, request: web.Request, form: dict[str, str]) -> Answer:
        match [request.method, *request.path.removeprefix("/v1/").split("/")]:
            case ["POST", "payment_intents"]:
                return self.create(form)
            case ["GET", "payment_intents", "search"]:
                found = [i for i in self.intents.values() if i["metadata"]["order_id"] in request.query["query"]]
                return 200, listed(found if self.searchable else [], "search_result")
            case ["GET", "payment_intents", id]:
                return 200, self.intents[id]
            case ["POST", "payment_intents", id, "cancel"]:
                return self.cancel(self.intents[id])
            case ["POST", "refunds"]:
                return self.refund(form)
            case ["GET", "refunds"]:
                return 200, listed(list(self.refunds.values()), "list")
        raise AssertionError(f"{request.method} {request.path} is not expected")

    def create(self, form: dict[str, str]) -> Answer:
        assert form["confirm"] == "true"
        assert form["error_on_requires_action"] == "true"
        if form.get("automatic_payment_methods[allow_redirects]") != "never" and "return_url" not in form:
            message = "Some payment methods might redirect your customer, so you must provide a `return_url`."
            return 400, error("invalid_request_error", None, message)
        method = form["payment_method"]
        if method == "pm_unknown":
            return 400, error("invalid_request_error", "resource_missing", "No such PaymentMethod: 'pm_unknown'")
        intent = payment_intent(f"pi_3M{len(self.intents)}JqB2eZvKYlo2C1TdQvRx9", form)
        self.intents[intent["id"]] = intent
        if decline := DECLINES.get(method):
            code, decline_code = decline
            failure = error("card_error", code, "Your card was declined.", decline_code=decline_code)["error"]
            intent |= {"status": "requires_payment_method", "last_payment_error": failure}
            return 402, {"error": {**failure, "payment_intent": dict(intent)}}
        status = {"pm_processing": "processing", "pm_card_threeDSecure2Required": "requires_action"}.get(method)
        intent["status"] = status or "succeeded"
        intent["amount_received"] = 0 if status else intent["amount"]
        return 200, dict(intent)

    def cancel(self, intent: dict[str, Any]) -> Answer:
        if intent["status"] in ("succeeded", "canceled"):
            message = f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}."
            failure = error("invalid_request_error", "payment_intent_unexpected_state", message)
            return 400, {"error": {**failure["error"], "payment_intent": dict(intent)}}
        intent["status"] = "canceled"
        return 200, dict(intent)

    def refund(self, form: dict[str, str]) -> Answer:
        intent = self.intents[form["payment_intent"]]
        if any(refund["status"] == "succeeded" for refund in self.refunds.values()):
            return 400, error("invalid_request_error", "charge_already_refunded", "The charge was refunded already.")
        id = f"re_3M{len(self.refunds)}JqB2eZvKYlo2C1TdQvRx9"
        self.refunds[id] = {
            "id": id,
            "object": "refund",
            "amount": int(form["amount"]),
            "charge": intent["latest_charge"],
            "created": 1764000000,
            "currency": intent["currency"],
            "metadata": metadata(form),
            "payment_intent": intent["id"],
            "reason": None,
            "status": self.refund_status,
            **({"failure_reason": "expired_or_canceled_card"} if self.refund_status == "failed" else {}),
        }
        return 200, dict(self.refunds[id])


def payment_intent(id: str, form: dict[str, str]) -> dict[str, Any]:
    return {
        "id": id,
        "object": "payment_intent",
        "amount": int(form["amount"]),
        "amount_capturable": 0,
        "amount_received": 0,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{id}_secret_YrKJUKribcBjcG8HVhfZluoGH",
        "confirmation_method": "automatic",
        "created": 1764000000,
        "currency": form["currency"],
        "last_payment_error": None,
        "latest_charge": id.replace("pi_", "ch_"),
        "livemode": False,
        "metadata": metadata(form),
        "next_action": None,
        "payment_method": form["payment_method"],
        "payment_method_types": ["card"],
        "status": "requires_confirmation",
    }


def metadata(form: dict[str, str]) -> dict[str, str]:
    return {key[9:-1]: value for key, value in form.items() if key.startswith("metadata[")}


def error(type: str, code: str | None, message: str, decline_code: str | None = None) -> dict[str, Any]:
    """Stripe leaves out what is null in an error."""
    fields = {"type": type, "code": code, "decline_code": decline_code, "message": message}
    return {"error": {name: value for name, value in fields.items() if value is not None}}


def listed(objects: list[Any], kind: str) -> dict[str, Any]:
    return {"object": kind, "data": objects, "has_more": False, "url": "/v1/listed"}


TROUBLES: dict[int, dict[str, Any]] = {
    401: error("invalid_request_error", None, "Invalid API Key provided: sk_test_****"),
    409: error("idempotency_error", "idempotency_key_in_use", "There is currently another in-progress request."),
    429: error("invalid_request_error", "rate_limit", "Too many requests hit the API too quickly."),
}


def answered(answer: Answer, *, replayed: bool = False) -> web.Response:
    status, body = answer
    headers = {"Request-Id": "req_0000000000000", "Stripe-Version": "2026-10-28.endive"}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    if status >= 500:
        headers["Stripe-Should-Retry"] = "false" if replayed else "true"
    return web.Response(body=json.dumps(body), status=status, headers=headers, content_type="application/json")


@asynccontextmanager
async def serving(api: StripeApi) -> AsyncIterator[str]:
    """Serves it; yields its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
