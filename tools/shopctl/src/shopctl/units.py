"""Numbers with a unit that suits them, in few characters."""

__all__ = ["megabytes", "rate", "seconds"]


def seconds(value: float) -> str:
    """A duration: `0.4 ms`, `31.2 ms`, `400 ms`, `3.00 s`, `61.0 s`, `10.0 min`, `2.0 h`."""
    if value < 0.9995:
        return f"{value * 1000:.1f} ms" if value < 0.0995 else f"{value * 1000:.0f} ms"
    if value < 99.5:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    return f"{value / 60:.1f} min" if value < 5970 else f"{value / 3600:.1f} h"


def rate(value: float) -> str:
    """A number per second: `0`, `0.2`, `12.3`, `1234`."""
    return "0" if value == 0 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.0f} MB"
