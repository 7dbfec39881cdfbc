"""Who the visitor is: login, registration, logout, and the account with its password."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from chassis.errors import Unavailable
from storefront.routes.forms import Form, form_of, local, see_other
from storefront.routes.pages import PRIVATE
from storefront.routes.visits import Given, Parts, Visiting
from storefront.schemas import writable
from storefront.usecases.remote import Refused
from storefront.usecases.sessions import Visit, change_password, register, sign_in, sign_out

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

BLANK = {"email": "", "name": ""}
CHANGED = "changed"
"""The cookie of a success that the next page tells, once: a link could claim it if it were in the address."""


@router.get("/login")
async def login_form(request: Request, given: Given, _: Visiting) -> Response:
    to, ended = local(request.query_params.get("to", "")), request.query_params.get("ended") == "1"
    return await _form(request, given, "login.html", 200, to, BLANK, reason="ended" if ended else None)


@router.post("/login")
async def login(request: Request, given: Given, visit: Visiting) -> Response:
    """Logs in and goes to the page `to`, or shows the form again, with what was typed except the password."""
    form = await form_of(request)
    if missing := _missing(form, "email", "password"):
        return await _again(request, given, "login.html", form, missing)
    try:
        await sign_in(given.identity, given.carts, visit, form.text("email"), form["password"])
    except (Refused, Unavailable) as error:
        return await _again(request, given, "login.html", form, _wrong(error), error)
    return see_other(local(form.text("to")))


@router.get("/register")
async def register_form(request: Request, given: Given, _: Visiting) -> Response:
    return await _form(request, given, "register.html", 200, local(request.query_params.get("to", "")), BLANK)


@router.post("/register")
async def register_account(request: Request, given: Given, visit: Visiting) -> Response:
    """Creates an account, logs in, and goes to the page `to`; or shows the form again."""
    form = await form_of(request)
    if missing := _missing(form, "name", "email", "password"):
        return await _again(request, given, "register.html", form, missing)
    client = request.client.host if request.client else ""
    email, name = form.text("email"), form.text("name")
    try:
        await register(given.identity, given.carts, visit, email, form["password"], name, client)
    except (Refused, Unavailable) as error:
        return await _again(request, given, "register.html", form, _wrong(error), error)
    return see_other(local(form.text("to")))


@router.post("/logout")
async def logout(request: Request, given: Given, visit: Visiting) -> Response:
    await sign_out(given.identity, visit)
    return see_other("/")


@router.get("/account")
async def account(request: Request, given: Given, visit: Visiting) -> Response:
    if not await _signed_in(visit):
        return see_other("/login?to=/account")
    page = await _account(request, given, visit, 200, done=CHANGED in request.cookies)
    if CHANGED in request.cookies:
        page.delete_cookie(CHANGED, path="/account")
    return page


@router.post("/account")
async def change(request: Request, given: Given, visit: Visiting) -> Response:
    """Changes the password. All other devices have to log in again, within the life of an access token."""
    if not await _signed_in(visit):
        return see_other("/login?to=/account")
    form = await form_of(request)
    if missing := _missing(form, "current", "new"):
        return await _account(request, given, visit, 422, wrong=missing)
    await visit.token()  # from here on, a missing answer means that the password may have been changed
    try:
        await change_password(given.identity, visit, form["current"], form["new"])
    except (Refused, Unavailable) as error:
        return await _account(request, given, visit, error.status, wrong=_wrong(error), error=error)
    answer = see_other("/account")
    secure = request.url.scheme == "https"
    answer.set_cookie(CHANGED, "1", max_age=60, path="/account", httponly=True, samesite="lax", secure=secure)
    return answer


async def _signed_in(visit: Visit) -> bool:
    await visit.certain()
    return visit.session is not None and visit.session.signed_in


def _missing(form: Form, *names: str) -> dict[str, str]:
    return {name: "missing" for name in names if not form.text(name)}


FIELDS = {
    "body.email": "email",
    "body.name": "name",
    "body.password": "password",
    "body.current_password": "current",
    "body.new_password": "new",
}
KNOWN = {
    "email-taken": {"email": "taken"},
    "invalid-grant": {"email": "refused"},
    "wrong-password": {"current": "refused"},
}


def _wrong(error: Refused | Unavailable) -> dict[str, str]:
    """Returns the fields that identity refuses, each with the reason."""
    named = error.members.get("errors", []) if error.slug == "invalid-request" else []
    return KNOWN.get(error.slug) or {FIELDS[each["field"]]: "invalid" for each in named if each["field"] in FIELDS}


async def _again(
    request: Request,
    given: Parts,
    template: str,
    form: Form,
    wrong: Mapping[str, str],
    error: Refused | Unavailable | None = None,
) -> Response:
    """Shows a form again. Raises a refusal that concerns none of its fields."""
    typed = {name: writable(form.text(name)) for name in BLANK}
    values, headers = _answer(wrong, error)
    status = 422 if error is None or error.status == 400 else error.status
    return await _form(request, given, template, status, local(form.text("to")), typed, headers, wrong=wrong, **values)


def _answer(wrong: Mapping[str, str], error: Refused | Unavailable | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the values for a form's notice, and headers. Raises an error that concerns no field and has no notice."""
    if error is None:
        return {}, {}
    wait = error.retry_after or error.members.get("retry_after") or 1
    if isinstance(error, Unavailable):
        return {"reason": "unavailable"}, {"Retry-After": str(wait)}
    if error.status == 429:
        return {"reason": "too-many", "wait": wait}, {"Retry-After": str(wait)}
    if not wrong:
        raise error
    return {}, {}


async def _form(
    request: Request,
    given: Parts,
    template: str,
    status: int,
    to: str,
    typed: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
    *,
    wrong: Mapping[str, str] | None = None,
    reason: str | None = None,
    wait: int = 0,
) -> Response:
    return await given.pages.render(
        request, template, status, headers, to=to, typed=typed, wrong=wrong or {}, reason=reason, wait=wait
    )


async def _account(
    request: Request,
    given: Parts,
    visit: Visit,
    status: int,
    *,
    wrong: Mapping[str, str] | None = None,
    error: Refused | Unavailable | None = None,
    done: bool = False,
) -> Response:
    """Shows the account; while identity is down without the address, because one must still be able to log out."""
    values, headers = _answer(wrong or {}, error)
    try:
        email = (await given.identity.me(await visit.token())).email
    except Unavailable:
        email = None
    values = {"reason": None, "wait": 0} | values
    return await given.pages.render(
        request, "account.html", status, {**PRIVATE, **headers}, email=email, wrong=wrong or {}, done=done, **values
    )
