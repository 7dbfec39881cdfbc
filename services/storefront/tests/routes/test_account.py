"""Login, registration, logout, and the account."""

import re

import pytest
from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from chassis.testing.apps import client_of

EMAIL = "ann@example.com"
PASSWORD = "correct horse"  # of every account of `others`
LOGIN = {"email": EMAIL, "password": PASSWORD}


@pytest.fixture(autouse=True)
def accounts(others) -> None:
    others.accounts[EMAIL] = "Ann <b>"


def fields(page) -> dict[str, str]:
    """Returns the messages beside the fields of a form."""
    return dict(re.findall(r'<p class="error"[^>]* id="(\w+)-error">([^<]*)</p>', page.text))


# ---- login ----


async def test_a_login_returns_to_the_page_and_shows_the_name(browser) -> None:
    async with browser() as ann:
        form = await ann.get("/login?to=/p/MUG-1")
        assert 'name="to" value="/p/MUG-1"' in form.text
        answer = await ann.post("/login", data={**LOGIN, "to": "/p/MUG-1"})
        page = await ann.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/p/MUG-1")
    assert '<a href="/account">Ann &lt;b&gt;</a>' in page.text


@pytest.mark.parametrize(
    "to", ["https://evil.example", "//evil.example", "/\\evil", "/%0d%0aSet-Cookie:x=y", "/\r\nX: y"]
)
async def test_a_login_never_leads_to_another_site(browser, to: str) -> None:
    async with browser() as ann:
        form = await ann.get("/login", params={"to": to})
        answer = await ann.post("/login", data={**LOGIN, "to": to})
    expected = to if to.isascii() and "%" in to else "/"
    assert f'<input type="hidden" name="to" value="{expected}">' in form.text.partition("<main")[2]
    assert answer.headers["Location"] == expected
    assert "X" not in answer.headers


async def test_the_cookie_cannot_be_read_by_scripts_or_sent_by_other_sites(browser) -> None:
    async with browser() as ann:
        cookie = (await ann.post("/login", data=LOGIN)).headers["Set-Cookie"]
    assert re.fullmatch(r"session=[\w-]{43}; HttpOnly; Max-Age=34560000; Path=/; SameSite=lax", cookie)


async def test_behind_https_the_cookie_is_secure(app: FastAPI) -> None:
    async with client_of(app) as ann:
        answer = await ann.post("https://test/login", data=LOGIN)
    assert answer.headers["Set-Cookie"].endswith("; Secure")


@pytest.mark.parametrize(("scheme", "secure"), [("https", True), ("http", False)])
async def test_the_edge_tells_whether_the_browser_uses_https(app: FastAPI, scheme: str, secure: bool) -> None:
    headers = {"X-Forwarded-Proto": scheme, "X-Forwarded-For": "192.0.2.1", "Origin": f"{scheme}://test"}
    async with client_of(ProxyHeadersMiddleware(app), headers=headers) as ann:  # as uvicorn runs it
        answers = [await ann.post("/login", data=LOGIN), await ann.post("/language", data={"language": "en"})]
    assert [answer.headers["Set-Cookie"].endswith("; Secure") for answer in answers] == [secure] * 2


async def test_no_token_reaches_the_browser(browser) -> None:
    async with browser() as ann:
        answers = [await ann.post("/login", data=LOGIN), await ann.get("/account"), await ann.get("/cart")]
    for answer in answers:
        assert f"account-{EMAIL}" not in f"{answer.headers} {answer.text}"
        assert f"refresh-{EMAIL}" not in f"{answer.headers} {answer.text}"


async def test_a_guests_cart_is_in_the_accounts_cart_after_login(browser, others) -> None:
    others.carts[f"account-{EMAIL}-1"] = {}
    async with browser() as ann:
        await ann.post("/cart/items", data={"sku": "MUG-1", "quantity": "3"})
        await ann.post("/login", data=LOGIN)
        page = await ann.get("/")
    assert re.search(r'<span id="count">\s*3\s*</span>', page.text)


async def test_a_login_changes_the_id_of_the_session(browser) -> None:
    async with browser() as ann:
        await ann.post("/cart/items", data={"sku": "MUG-1", "quantity": "1"})
        before = ann.cookies["session"]
        await ann.post("/login", data=LOGIN)
        assert ann.cookies["session"] != before
    async with browser(Cookie=f"session={before}") as mallory:
        assert (await mallory.get("/account")).status_code == 303


async def test_a_wrong_password_keeps_the_address_and_not_the_password(browser) -> None:
    async with browser() as ann:
        page = await ann.post("/login", data={"email": "<ann>@x", "password": "guess-1234", "to": "/cart"})
    assert page.status_code == 422
    assert "The email address or the password is wrong." in page.text
    assert 'value="&lt;ann&gt;@x"' in page.text
    assert 'value="/cart"' in page.text
    assert "guess-1234" not in page.text


async def test_missing_fields_are_named_and_identity_is_not_asked(browser, others) -> None:
    async with browser() as ann:
        page = await ann.post("/login", data={"email": " "})
    assert page.status_code == 422
    assert fields(page) == {"email": "Fill in this field.", "password": "Fill in this field."}
    assert "POST /api/identity/token" not in others.asked


async def test_too_many_tries_tell_how_long_to_wait(browser, others, problem) -> None:
    others.refused["/api/identity/token"] = problem(429, "too-many-tries", retry_after=120)
    async with browser() as ann:
        page = await ann.post("/login", data=LOGIN)
    assert (page.status_code, page.headers["Retry-After"]) == (429, "120")
    assert "There were too many attempts." in page.text
    assert "You can try again in 2 minutes." in page.text
    assert f'value="{EMAIL}"' in page.text


async def test_without_identity_the_form_stays(browser, others) -> None:
    others.down.add("identity")
    async with browser() as ann:
        page = await ann.post("/login", data=LOGIN)
    assert (page.status_code, page.headers["Retry-After"]) == (503, "1")
    assert "Your cart is safe." in page.text
    assert f'value="{EMAIL}"' in page.text


async def test_an_ended_session_says_so(browser) -> None:
    async with browser() as ann:
        assert "Your session has ended." in (await ann.get("/login?to=/orders&ended=1")).text
        assert "Your session has ended." not in (await ann.get("/login?to=/orders")).text


async def test_a_revoked_session_asks_for_a_login_and_comes_back(browser, others) -> None:
    others.expires_in = 1  # so each request renews the token
    async with browser() as ann:
        await ann.post("/login", data=LOGIN)
        others.revoked.append(f"refresh-{EMAIL}-1")
        answer = await ann.get("/orders?cursor=x")
        after = await ann.get(answer.headers["Location"])
    assert answer.headers["Location"] == "/login?to=%2Forders%3Fcursor%3Dx&ended=1"
    assert (after.status_code, 'value="/orders?cursor=x"' in after.text) == (200, True)


async def test_a_token_that_services_refuse_ends_the_session(browser, others, problem) -> None:
    async with browser() as ann:
        await ann.post("/login", data=LOGIN)
        others.refused["/api/identity/me"] = problem(401, "invalid-token")
        answer = await ann.get("/account")
        assert answer.headers["Location"] == "/login?to=%2Faccount&ended=1"
        assert (await ann.get("/account")).headers["Location"] == "/login?to=/account"


# ---- registration ----

BOB = {"name": "Bob", "email": "bob@example.com", "password": "12345678"}


async def test_a_registration_logs_in_and_keeps_the_cart(browser, others) -> None:
    async with browser() as bob:
        await bob.post("/cart/items", data={"sku": "MUG-1", "quantity": "2"})
        answer = await bob.post("/register", data={**BOB, "to": "/checkout"})
        page = await bob.get("/account")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/checkout")
    assert "bob@example.com" in page.text
    assert others.carts["account-bob@example.com-1"] == {"MUG-1": 2}


async def test_what_identity_refuses_is_shown_beside_the_field(browser) -> None:
    async with browser() as bob:
        page = await bob.post("/register", data={"name": "Bob 😀", "email": "bob", "password": "1234567"})
    assert page.status_code == 422
    assert fields(page) == {
        "email": "Enter an email address, such as name@example.com.",
        "password": "Choose a password of 8 to 128 characters.",
    }
    assert 'value="Bob 😀"' in page.text
    assert "1234567" not in page.text


async def test_an_address_with_an_account_is_refused(browser) -> None:
    async with browser() as bob:
        page = await bob.post("/register", data={**BOB, "email": EMAIL})
        assert "session" not in bob.cookies
    assert page.status_code == 409
    assert fields(page) == {"email": "This address has an account already. Log in, or use another address."}


async def test_a_registration_without_an_answer_is_not_claimed_to_have_failed(browser, others) -> None:
    async with browser() as bob:
        others.down.add("/api/identity/token")  # the account exists by then
        page = await bob.post("/register", data=BOB)
        others.down.clear()
        again = await bob.post("/register", data=BOB)
    assert page.status_code == 503
    assert "Your account may have been created already." in page.text
    assert again.status_code == 303


async def test_the_limit_of_registrations_counts_by_the_address_of_the_browser(browser, others) -> None:
    async with browser() as bob:
        await bob.post("/register", data=BOB)
    assert others.clients == ["127.0.0.1"]


# ---- logout and account ----


async def test_a_logout_forgets_the_cookie_and_revokes_the_token(browser, others) -> None:
    async with browser() as ann:
        await ann.post("/login", data=LOGIN)
        answer = await ann.post("/logout")
        assert "session" not in ann.cookies
        page = await ann.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert others.revoked == [f"refresh-{EMAIL}-1"]
    assert 'href="/login"' in page.text


async def test_a_logout_without_a_session_is_no_error(browser) -> None:
    async with browser() as ann:
        assert (await ann.post("/logout")).status_code == 303


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_account_needs_a_login(browser, method: str) -> None:
    async with browser() as ann:
        await ann.post("/cart/items", data={"sku": "MUG-1", "quantity": "2"})  # a guest
        answer = await ann.request(method, "/account")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?to=/account")


async def test_the_account_shows_name_and_address_to_its_owner_only(browser) -> None:
    async with browser() as ann:
        await ann.post("/login", data=LOGIN)
        page = await ann.get("/account")
    assert page.headers["Cache-Control"] == "private, no-store"
    assert "<dd>Ann &lt;b&gt;</dd>" in page.text
    assert f"<dd>{EMAIL}</dd>" in page.text
    assert "/admin" not in page.text


async def test_staff_find_the_back_office(browser, others) -> None:
    others.scopes[EMAIL] = "orders:manage"
    async with browser() as ann:
        await ann.post("/login", data=LOGIN)
        assert 'href="/admin"' in (await ann.get("/account")).text


async def test_without_identity_one_can_still_log_out(browser, others) -> None:
    async with browser() as ann:
        await ann.post("/login", data=LOGIN)
        others.down.add("identity")
        assert "cannot be shown right now" in (await ann.get("/account")).text
        await ann.post("/logout")
        assert "session" not in ann.cookies


async def test_a_changed_password_leaves_this_browser_logged_in(browser) -> None:
    async with browser() as ann:
        await ann.post("/login", data=LOGIN)
        before = ann.cookies["session"]
        answer = await ann.post("/account", data={"current": PASSWORD, "new": "a new password"})
        page, again = await ann.get(answer.headers["Location"]), await ann.get("/account")
        assert ann.cookies["session"] != before
    assert "Your password has been changed." in page.text
    assert "Your password has been changed." not in again.text
    async with browser() as again:
        assert (await again.post("/login", data={**LOGIN, "password": "a new password"})).status_code == 303


async def test_a_link_cannot_claim_that_the_password_was_changed(browser) -> None:
    async with browser() as ann:
        await ann.post("/login", data=LOGIN)
        assert "has been changed" not in (await ann.get("/account?changed=1")).text
        assert "Your session has ended." not in (await ann.get("/login?ended=1")).text


@pytest.mark.parametrize(
    ("data", "status", "wrong"),
    [
        ({}, 422, {"current": "Fill in this field.", "new": "Fill in this field."}),
        ({"current": "wrong", "new": "12345678"}, 403, {"current": "This is not your current password."}),
        ({"current": PASSWORD, "new": "1234567"}, 422, {"new": "Choose a password of 8 to 128 characters."}),
    ],
)
async def test_a_refused_change_is_explained_beside_the_field(browser, data, status: int, wrong) -> None:
    async with browser() as ann:
        await ann.post("/login", data=LOGIN)
        page = await ann.post("/account", data=data)
    assert (page.status_code, fields(page)) == (status, wrong)
    assert "1234567" not in page.text


async def test_a_change_without_an_answer_is_not_claimed_to_have_failed(browser, others) -> None:
    async with browser() as ann:
        await ann.post("/login", data=LOGIN)
        others.lost.add("/api/identity/password")
        page = await ann.post("/account", data={"current": PASSWORD, "new": "a new password"})
    assert page.status_code == 503
    assert "Your password may have been changed." in page.text
