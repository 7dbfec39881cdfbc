"""The choice of a language, which is remembered for a year."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from storefront.routes import languages
from storefront.routes.forms import form_of, local, see_other

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

YEAR = 365 * 86_400


@router.post("/language")
async def language(request: Request) -> Response:
    """Sets the language, and returns to the page `to`."""
    form = await form_of(request)
    answer = see_other(local(form.text("to")))
    if form.text("language") in languages.LANGUAGES:
        secure = request.url.scheme == "https"
        answer.set_cookie(
            languages.COOKIE, form.text("language"), max_age=YEAR, httponly=True, samesite="lax", secure=secure
        )
    return answer
