"""The shopper of the labs tells a learner what is wrong, instead of a stack or an endless wait."""

import subprocess

import pytest
from lab_blocks import ROOT


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("fill_cart", "The shop at http://localhost:1 has not answered /api/identity/guests"),
        ("place_order first", "Your cart is empty: run fill_cart first"),
        ("version=1 total=1; place_order first", "The shop at http://localhost:1 has not answered the order"),
        ("wait_for CONFIRMED", "There is no order"),
        ("within 0 false", "It has not happened in time: false"),
    ],
)
def test_what_is_wrong_is_told_and_fails(typed: str, told: str) -> None:
    shell = ("bash", "--noprofile", "--norc", "-c", f"shop=http://localhost:1; . docs/labs/shopper.sh; {typed}")
    done = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
