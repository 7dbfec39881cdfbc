"""A product's drawing as a file of its own, for link previews and JSON-LD."""

import re
from collections.abc import Mapping

from fastapi import APIRouter
from starlette.responses import Response

from chassis.errors import NotFound
from storefront.models.pictures import BACKDROPS, PALETTES, Picture, colors
from storefront.routes import assets

__all__ = ["address", "drawing", "router"]

router = APIRouter(include_in_schema=False)

NAME = re.compile(r"([a-z][a-z0-9-]{0,39})-(0|[1-9][0-9]?)-([0-9])", re.ASCII)
SYMBOL = re.compile(r'<symbol id="([^"]+)" viewBox="0 0 120 120"([^>]*)>\n(.*?)\n</symbol>', re.DOTALL)
VARIABLE = re.compile(r"var\((--[a-z]),[^)]*\)")


def _symbols(sprite: str) -> Mapping[str, str]:
    """Returns each symbol of the sprite as a group, by its ID."""
    return {name: f"<g{attributes}>\n{shapes}\n</g>" for name, attributes, shapes in SYMBOL.findall(sprite)}


SYMBOLS = _symbols(assets.FILES["motifs.svg"].decode())
MOTIFS = frozenset(name for name in SYMBOLS if not name.startswith("back-"))


def address(picture: Picture) -> str:
    """Returns the path of a drawing."""
    return f"/pictures/{picture.motif}-{picture.palette}-{picture.backdrop}.svg"


def drawing(picture: Picture) -> str:
    """Returns an SVG document with the colors of the light mode. Raises LookupError if a part of it does not exist."""
    values = colors(PALETTES[picture.palette])
    shapes = SYMBOLS[f"back-{picture.backdrop}"] + "\n" + SYMBOLS[picture.motif]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="480" height="480" viewBox="0 0 120 120">\n'
        f'<path fill="{values["--g"]}" d="M0 0h120v120H0z"/>\n'
        f"{VARIABLE.sub(lambda variable: values[variable[1]], shapes)}\n</svg>\n"
    )


@router.get("/pictures/{name}.svg")
async def picture(name: str) -> Response:
    """Returns a drawing, such as `mug-7-2`: a motif, a palette and a backdrop."""
    found = NAME.fullmatch(name)
    shown = Picture(found[1], int(found[2]), int(found[3])) if found else Picture("", 0, 0)
    if shown.motif not in MOTIFS or shown.palette >= len(PALETTES) or shown.backdrop >= BACKDROPS:
        raise NotFound("not-found", "There is no such picture", "Start at / again.")
    age = "public, max-age=31536000, immutable"
    return Response(drawing(shown), headers={"Cache-Control": age}, media_type="image/svg+xml")
