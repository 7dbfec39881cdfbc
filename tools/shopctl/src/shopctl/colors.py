"""Colors that are readable on a dark and on a light background."""

__all__ = ["BAD", "GOOD", "NOTE", "WAIT", "WARN", "color_of"]

GOOD = "color(28)"
WARN = "color(130)"
BAD = "bold color(160)"
NOTE = "color(244)"
WAIT = "color(130)"

_SERVICES = {
    "edge": "color(244)",
    "storefront": "color(97)",
    "catalog": "color(28)",
    "cart": "color(30)",
    "order": "color(32)",
    "payment": "color(133)",
    "identity": "color(94)",
}


def color_of(service: str) -> str:
    """The color of a service's name and bars."""
    return _SERVICES.get(service, "color(244)")
