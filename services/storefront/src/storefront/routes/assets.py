"""Static files. Their addresses contain a digest of all of them, so browsers keep them for a year."""

import hashlib
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from chassis.errors import NotFound

__all__ = ["router", "url"]

router = APIRouter(include_in_schema=False)

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
FOLDER = Path(__file__).parents[1] / "static"
FILES = {file.name: file.read_bytes() for file in sorted(FOLDER.iterdir()) if file.suffix in TYPES}
VERSION = hashlib.sha256(b"\0".join(FILES.values())).hexdigest()[:12]


def url(name: str) -> str:
    """Returns the address of a static file. Raises KeyError."""
    FILES[name]
    return f"/static/{VERSION}/{name}"


@router.get("/static/{version}/{name}")
async def static(version: str, name: str) -> Response:
    """Returns a file. Another release's address gets this release's file, for a moment only."""
    if name not in FILES:
        raise NotFound("not-found", "There is no such file", "Start at / again.")
    age = "public, max-age=31536000, immutable" if version == VERSION else "public, max-age=1"
    return Response(FILES[name], headers={"Cache-Control": age}, media_type=TYPES[Path(name).suffix])
