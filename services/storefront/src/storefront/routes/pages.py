"""Renders templates, each in the visitor's language."""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse

from storefront.models.pictures import category_picture, picture_of
from storefront.routes import assets, languages
from storefront.routes.forms import here
from storefront.routes.languages import Language, language_of
from storefront.schemas import writable

__all__ = ["INCOMPLETE", "PRIVATE", "Pages", "language_for", "soon", "wants_html"]

TEMPLATES = Path(__file__).parents[1] / "templates"

PERSONAL = frozenset({"session", languages.COOKIE})
"""The cookies on which a page depends. The edge removes a stranger's, and sends the language in a header."""

OWN = "private, no-cache"
"""The Cache-Control of a page that nobody else should get. Its browser asks again before it shows the page."""

INCOMPLETE = {"Cache-Control": OWN}
"""The headers of a page that lacks a part, because a service failed."""

PRIVATE = {"Cache-Control": "private, no-store"}
"""The headers of a page that no cache keeps, not even the browser's."""

ANSWER = {"Cache-Control": OWN}
"""The headers of a page that answers a POST: with `no-store`, Back could not show it again."""

COUNT_TIMEOUT = 0.3
"""Seconds for which a page that is otherwise complete waits for the number beside the cart."""


class Pages:
    """The templates, compiled once for each language."""

    def __init__(self) -> None:
        self._environments = {code: _environment(language) for code, language in languages.LANGUAGES.items()}

    async def render(
        self,
        request: Request,
        template: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,
    ) -> HTMLResponse:
        """Renders a page for the visit that `request` belongs to."""
        language = language_for(request)
        visit = getattr(request.state, "visit", None)
        counting = getattr(request.state, "counting", None)
        count: asyncio.Future[int | None] | None = counting() if counting else None
        page = (
            self._environments[language.code]
            .get_template(template)
            .render(
                language=language,
                session=visit.session if visit else None,
                count=await soon(count) if count else None,
                here=here(request),
                **values,
            )
        )
        caching = ANSWER if request.method == "POST" else {}
        return HTMLResponse(page, status, {**_caching(request, status), **(headers or {}), **caching})


def language_for(request: Request) -> Language:
    return language_of(request.cookies.get(languages.COOKIE), request.headers.get("accept-language", ""))


async def soon(count: asyncio.Future[int | None]) -> int | None:
    """Returns the cart's count, or None if cart does not answer in time."""
    await asyncio.wait([count], timeout=COUNT_TIMEOUT)
    return count.result() if count.done() and not count.cancelled() else None


def _caching(request: Request, status: int) -> dict[str, str]:
    """A browser asks again each time. The edge may keep a page that is the same for everyone: it is at most 7 s old."""
    same = not PERSONAL & request.cookies.keys() and "authorization" not in request.headers
    kept = same and request.method in ("GET", "HEAD") and status in (200, 404)
    age = "public, max-age=0, s-maxage=2, stale-while-revalidate=5" if kept else OWN
    return {"Cache-Control": age, "Vary": "Accept-Language, Cookie"}


def _environment(language: Language) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_translations(language.texts, newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(
        category=language.category,
        moment=lambda at: _time(at, language),
        money=language.money,
        number=language.number,
        span=language.span,
        writable=writable,
    )
    environment.globals.update(
        asset=assets.url,
        category_picture=category_picture,
        json_ld=_json_ld,
        language=language,
        languages=list(languages.LANGUAGES.values()),
        picture_of=picture_of,
    )
    return environment


def _time(at: datetime, language: Language) -> Markup:
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), language.moment(at))


def _json_ld(document: Mapping[str, Any]) -> Markup:
    """Returns JSON for a `<script type="application/ld+json">`, which must not contain `</script>` or `<!--`."""
    return Markup(json.dumps(document, ensure_ascii=False).replace("<", "\\u003c"))  # noqa: S704


def wants_html(headers: Headers) -> bool:
    """Returns whether a browser asks for a page. A program that accepts anything gets problem+json."""
    return "text/html" in headers.get("accept", "")
