"""A service's answer is the expected data, its problem, or nothing that can be understood."""

import pytest

from chassis.errors import Unavailable
from chassis.http import Response
from storefront.clients.answers import decoded
from storefront.usecases.remote import Cart, Line, Refused

PROBLEM = b'"type": "https://quayside.example/problems/cart-full", "title": "Full", "detail": "Remove a line."'


def test_members_that_are_not_needed_are_left_out() -> None:
    body = b'{"version": "1", "items": [{"sku": "MUG-1", "quantity": 2, "since": 0}], "note": null}'
    assert decoded(Response(200, body), Cart, "cart") == Cart("1", [Line("MUG-1", 2)])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"version": "1", "items": [{"sku": "MUG-1"}]}',
        b'{"version": "1", "items": [{"sku": "MUG-1", "quantity": "2"}]}',
        b'{"version": "1", "items": [',
        b'{"version": "\xff", "items": []}',
        b"<html>Bad gateway</html>",
        b'{"version": "1", "items": [], "more": ' * 100_000,
    ],
)
@pytest.mark.parametrize("status", [200, 202, 204, 304, 404, 422])
def test_a_broken_answer_is_a_failure_of_the_service(status: int, body: bytes) -> None:
    with pytest.raises(Unavailable, match="The response of the cart service cannot be read") as raised:
        decoded(Response(status, body), Cart, "cart")
    assert raised.value.slug == "cart-unavailable"


@pytest.mark.parametrize("missing", ["type", "title", "detail"])
def test_a_problem_without_one_of_its_members_is_a_failure_of_the_service(missing: str) -> None:
    body = b"{" + PROBLEM.replace(f'"{missing}"'.encode(), b'"other"') + b"}"
    with pytest.raises(Unavailable):
        decoded(Response(409, body), Cart, "cart")


def test_a_problem_is_a_refusal_with_its_members() -> None:
    body = b"{" + PROBLEM + b', "status": 409, "skus": ["MUG-1"]}'
    with pytest.raises(Refused) as raised:
        decoded(Response(409, body, {"Retry-After": "7"}), Cart, "cart")
    refused = raised.value
    assert (refused.status, refused.slug, refused.title, refused.detail) == (409, "cart-full", "Full", "Remove a line.")
    assert refused.members["skus"] == ["MUG-1"]
    assert refused.retry_after == 7


@pytest.mark.parametrize("retry_after", ["", "soon", "-1", "1.5", "²", "9" * 5_000, "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_time_to_retry_that_is_no_number_is_left_out(retry_after: str) -> None:
    with pytest.raises(Refused) as raised:
        decoded(Response(429, b"{" + PROBLEM + b"}", {"Retry-After": retry_after}), Cart, "cart")
    assert raised.value.retry_after is None


@pytest.mark.parametrize("name", ["slug", "self", "retry_after", "members"])
def test_a_member_may_have_any_name(name: str) -> None:
    with pytest.raises(Refused) as raised:
        decoded(Response(409, b"{" + PROBLEM + f', "{name}": "x"}}'.encode()), Cart, "cart")
    assert raised.value.slug == "cart-full"
