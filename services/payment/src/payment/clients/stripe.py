"""Stripe, through its own SDK. Importing this module costs 13 MB and 0.3 s, so it is imported only with Stripe's keys.

A charge is a PaymentIntent that is confirmed as it is created. Three of Stripe's rules shape this adapter:

- The first answer to a key is stored for a day and repeated, even a 5xx. Later changes show only in the PaymentIntent
  and the refund, so these are read once they are known.
- A PaymentIntent whose charge failed can be confirmed again. It is cancelled before the charge counts as refused.
- Metadata can be searched only after a minute or so. What is not found may still be there.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Mapping
from typing import Self, TypeVar

import aiohttp
import msgspec
import stripe
from pydantic import SecretStr

from chassis.errors import Invalid
from payment.models import REQUIRES_ACTION, Answer, Operation, Outcome, Payment
from payment.schemas import StripeEvent
from payment.usecases import Hint, bad_signature

__all__ = ["StripeProvider"]

log = logging.getLogger(__name__)
T = TypeVar("T")

OTHER_UNITS = frozenset({"ISK", "MGA", "UGX"})
"""Currencies whose smallest unit at Stripe is not the minor unit of ISO 4217, in which our amounts are."""
NOT_ON_RECORD = Answer(Outcome.UNKNOWN, "not-on-record", stuck=True)
NO_CHARGE = Answer(Outcome.UNKNOWN, "no-charge-on-record", stuck=True)
_SIGNED_AT = re.compile(r"t=(\d{1,12}),[ -~]+")


class StripeProvider:
    """Calls Stripe's API. `timeout` in seconds covers all calls of an operation; `connections` limits calls in flight.

    The SDK does not retry; the driver does.
    """

    def __init__(
        self, api_key: SecretStr, webhook_secret: SecretStr, *, base: str, timeout: float, connections: int
    ) -> None:
        self._key = api_key.get_secret_value()
        self._secret = webhook_secret.get_secret_value()
        self._base = base.rstrip("/")
        self._timeout = timeout
        self._connections = connections

    async def __aenter__(self) -> Self:
        logging.getLogger("stripe").setLevel(logging.WARNING)  # at INFO it logs two lines for each call
        certificates = ssl.create_default_context(cafile=stripe.ca_bundle_path)
        connector = aiohttp.TCPConnector(limit=self._connections, ssl=certificates)
        self._http = stripe.AIOHTTPClient(aiohttp.ClientTimeout(self._timeout), connector=connector)
        self._api = stripe.StripeClient(
            self._key, base_addresses={"api": self._base}, max_network_retries=0, http_client=self._http
        ).v1
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def charge(self, payment: Payment) -> Answer:
        if payment.currency in OTHER_UNITS:
            return Answer(Outcome.REFUSED, "unsupported-currency")
        if payment.provider_reference is not None:
            return await self.find(payment)
        return await self._within(self._charge(payment))

    async def refund(self, payment: Payment) -> Answer:
        return await self._within(self._refund(payment))

    async def find(self, payment: Payment) -> Answer:
        if payment.operation is Operation.REFUND:
            return await self._within(self._find_refund(payment))
        return await self._within(self._known_charge(payment))

    def hinted(self, headers: Mapping[str, str], body: bytes) -> Hint | None:
        """Checks `Stripe-Signature` as the SDK does, apart from its age, which the database's clock judges."""
        header = headers.get("stripe-signature", "")
        signed_at = _SIGNED_AT.fullmatch(header)
        if signed_at is None:
            raise bad_signature("Send Stripe-Signature: t=<unix time>,v1=<hex HMAC-SHA-256>.")
        try:
            stripe.WebhookSignature.verify_header(body, header, self._secret)
        except (stripe.SignatureVerificationError, UnicodeDecodeError) as error:
            raise bad_signature("The signature does not belong to this body.") from error
        try:
            subject = msgspec.json.decode(body, type=StripeEvent).data.object
        except msgspec.ValidationError:  # it is about another application, which shares the account
            return None
        except msgspec.DecodeError as error:
            raise Invalid("invalid-request", "The event is not valid", "The body must be JSON.") from error
        if subject.metadata is None or subject.metadata.order_id is None:
            return None
        refund_failed = subject.object == "refund" and subject.status in ("failed", "canceled")
        return Hint(subject.metadata.order_id, int(signed_at[1]), refund_failed)

    async def _charge(self, payment: Payment) -> Answer:
        assert payment.amount is not None
        assert payment.currency is not None
        assert payment.payment_method is not None
        try:
            intent = await self._api.payment_intents.create_async(
                {
                    "amount": payment.amount,
                    "currency": payment.currency.lower(),
                    "payment_method": payment.payment_method,
                    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                    "confirm": True,
                    "error_on_requires_action": True,
                    "metadata": {"order_id": str(payment.order_id)},
                },
                {"idempotency_key": payment.key},
            )
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            log.info("Stripe refused a charge: %s", error, extra={"fields": {"order_id": str(payment.order_id)}})
            if error.error is None or error.error.payment_intent is None:
                return Answer(Outcome.REFUSED, _reason(error))
            return await self._decided(error.error.payment_intent, _reason(error))
        except (stripe.APIError, stripe.IdempotencyError) as error:
            if not _is_final(error):
                raise
            return await self._known_charge(payment)
        return await self._decided(intent)

    async def _known_charge(self, payment: Payment) -> Answer:
        if payment.provider_reference is not None:
            return await self._decided(await self._api.payment_intents.retrieve_async(payment.provider_reference))
        query = f"metadata['order_id']:'{payment.order_id}'"
        found = await self._api.payment_intents.search_async({"query": query, "limit": 1})
        return await self._decided(found.data[0]) if found.data else NOT_ON_RECORD

    async def _decided(self, intent: stripe.PaymentIntent, reason: str | None = None) -> Answer:
        """Returns the outcome of a charge. A PaymentIntent that waits for the customer is cancelled first."""
        reason = reason or _reason_of(intent)
        if intent.status not in ("succeeded", "canceled", "processing"):
            try:
                intent = await self._api.payment_intents.cancel_async(intent.id)
            except stripe.InvalidRequestError:  # it has changed since it was read
                intent = await self._api.payment_intents.retrieve_async(intent.id)
        match intent.status:
            case "succeeded":
                return Answer(Outcome.SUCCEEDED, reference=intent.id)
            case "canceled":
                return Answer(Outcome.REFUSED, reason, reference=intent.id)
            case status:
                return Answer(Outcome.UNKNOWN, status, stuck=status != "processing", reference=intent.id)

    async def _refund(self, payment: Payment) -> Answer:
        assert payment.amount is not None
        intent_id = await self._charged(payment)
        if intent_id is None:
            return NO_CHARGE
        if payment.attempts > 1 and (known := await self._known_refund(payment, intent_id)):
            return known
        try:
            refund = await self._api.refunds.create_async(
                {
                    "payment_intent": intent_id,
                    "amount": payment.amount,
                    "metadata": {"order_id": str(payment.order_id)},
                },
                {"idempotency_key": payment.key},
            )
        except stripe.InvalidRequestError as error:
            return Answer(Outcome.REFUSED, _reason(error), stuck=True)
        return _refunded(refund)

    async def _find_refund(self, payment: Payment) -> Answer:
        intent_id = await self._charged(payment)
        return NO_CHARGE if intent_id is None else await self._known_refund(payment, intent_id) or NOT_ON_RECORD

    async def _charged(self, payment: Payment) -> str | None:
        """Returns the ID of the PaymentIntent. Where an older release recorded none, it is searched for."""
        return payment.provider_reference or (await self._known_charge(payment)).reference

    async def _known_refund(self, payment: Payment, intent_id: str) -> Answer | None:
        """Returns the outcome of the refund, or None if there is none. An operator's refund by hand counts too."""
        assert payment.amount is not None
        listed = await self._api.refunds.list_async({"payment_intent": intent_id, "limit": 100})
        if sum(refund.amount for refund in listed.data if refund.status == "succeeded") >= payment.amount:
            return Answer(Outcome.SUCCEEDED)
        ours = [refund for refund in listed.data if refund.metadata and "order_id" in refund.metadata]
        return _refunded(ours[0]) if ours else None

    async def _within(self, call: Awaitable[T]) -> T | Answer:
        """Returns the call's result, or UNKNOWN if a request failed or time ran out."""
        try:
            async with asyncio.timeout(self._timeout):
                return await call
        except (TimeoutError, aiohttp.ClientError, stripe.APIConnectionError):
            return Answer(Outcome.UNKNOWN, "no-answer")
        except (stripe.RateLimitError, stripe.APIError) as error:
            return Answer(Outcome.UNKNOWN, _reason(error), stuck=_is_final(error))
        except stripe.StripeError as error:  # about our account or our request, not about this payment
            log.warning("Stripe did not accept a request: %s", error)
            return Answer(Outcome.UNKNOWN, _reason(error), stuck=True)


def _is_final(error: stripe.StripeError) -> bool:
    """Tells whether the key will get no other answer: Stripe repeated a stored one, or refused the key."""
    return isinstance(error, stripe.IdempotencyError) or "Idempotent-Replayed" in (error.headers or {})


def _reason(error: stripe.StripeError) -> str:
    return "provider-error" if error.error is None else _reason_in(error.error)


def _reason_of(intent: stripe.PaymentIntent) -> str:
    if intent.status == "requires_action":
        return REQUIRES_ACTION
    if intent.last_payment_error is not None:
        return _reason_in(intent.last_payment_error)
    return intent.cancellation_reason or intent.status


def _reason_in(error: stripe.ErrorObject | stripe.PaymentIntent.LastPaymentError) -> str:
    """Returns why the bank declined, or else Stripe's code, or its type of error. Stripe omits null fields."""
    code: str | None = getattr(error, "code", None)
    if code == "authentication_required":
        return REQUIRES_ACTION
    reason: str = getattr(error, "decline_code", None) or code or error.type
    return reason


def _refunded(refund: stripe.Refund) -> Answer:
    match refund.status:
        case "succeeded":
            return Answer(Outcome.SUCCEEDED)
        case "failed" | "canceled":
            return Answer(Outcome.REFUSED, getattr(refund, "failure_reason", None) or refund.status, stuck=True)
        case status:  # pending, requires_action
            return Answer(Outcome.UNKNOWN, status)
