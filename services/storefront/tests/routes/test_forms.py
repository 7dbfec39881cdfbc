"""Paths to return to."""

import pytest

from storefront.routes.forms import local


@pytest.mark.parametrize("path", ["/", "/p/MUG-1", "/search?q=a%20b&sort=price", "/c/home?cursor=x#y"])
def test_a_path_of_the_shop_is_kept(path: str) -> None:
    assert local(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "x",
        "//elsewhere",
        "/\\elsewhere",
        "\\/elsewhere",
        "https://elsewhere",
        "/\t/elsewhere",
        "/\n",
        "javascript:x",
        "/a\\b",
    ],
)
def test_what_may_lead_elsewhere_is_not(path: str) -> None:
    assert local(path, "/cart") == "/cart"
