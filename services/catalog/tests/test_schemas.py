"""The fields of a product, and the values that they accept."""

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from catalog.models import Product, ShownProduct
from catalog.schemas import ImageUrl, Name, NewProduct, ProductChanges, ProductOut, Slug

SCHEMAS = {
    NewProduct: set(Product.__struct_fields__),
    ProductChanges: set(Product.__struct_fields__) - {"sku"},
    ProductOut: set(ShownProduct.__struct_fields__),
}


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.__name__)
def test_every_field_of_a_product_is_in_the_schemas(schema: type[BaseModel]) -> None:
    """See docs/how-to/new-field.md."""
    lacking = SCHEMAS[schema] - schema.model_fields.keys()
    unknown = schema.model_fields.keys() - SCHEMAS[schema]

    assert not lacking, f"schemas.{schema.__name__} lacks {lacking}"
    assert not unknown, f"models.Product lacks {unknown}, which schemas.{schema.__name__} has"


def takes(type: Any, value: str) -> bool:
    try:
        return bool(TypeAdapter(type).validate_python(value) == value)
    except ValidationError:
        return False


@pytest.mark.parametrize("slug", ["tea", "t2", "coffee-and-tea", "a-b-c", "42", "x" * 40])
def test_a_category_is_words_with_single_hyphens(slug: str) -> None:
    assert takes(Slug, slug)


@pytest.mark.parametrize(
    "slug", ["--", "-a", "a-", "a--b", "-", "a", "A-b", "a_b", "a b", "a\n", "é1", "x" * 41, "", "٣٣"]
)
def test_an_invalid_category_is_refused(slug: str) -> None:
    assert not takes(Slug, slug)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "https://cdn.example/mug.webp",
            "https://cdn.example",
            "https://cdn.example/",
            "https://cdn.example:8443/a/b",
        ),
        *("https://xn--bcher-kva.example/a%20b.png?w=300&h=2", "https://localhost/a", "https://192.0.2.7/a"),
        *("/images/mug.webp", "/a", "/a//b", "/images/a%2Fb.png?v=2", "/a...b/..c", "/a?x=/../y", "/@a:b"),
        "/" + "x" * 499,
    ],
)
def test_an_image_is_on_a_named_host_or_on_this_one(url: str) -> None:
    assert takes(ImageUrl, url)


@pytest.mark.parametrize(
    "url",
    [
        *("//host", "//host/a", "/\\host", "\\\\host", "/a\\b", "///a"),
        *("https://", "https:///a", "https://?a", "https://:443/a", "https:/host/a", "https:host", "https://host:/a"),
        *("https://user@host/a", "https://user:word@host/a", "https://host\\@other/a", "https://-a.example/b"),
        *(
            "https://a..b/c",
            "https://.a/b",
            "https://a./b",
            "https://ho st/a",
            "https://host/a b",
            "https://host:123456/a",
        ),
        *("/../a", "/a/..", "/a/../b", "/a/./b", "/%2e%2e/a", "/.%2E/a", "https://host/../a", "/a/..?x"),
        *("http://host/a", "javascript:alert(1)", "data:image/png,x", "HTTPS://host/a", "images/mug.webp", "", "/"),
        *("/a\n", "/a\x00", "/é", "/a%2", '/a"b', "/a<b>", "/a`b", "/a{b}", "/a#b", "https://höst/a", "/" + "x" * 500),
    ],
)
def test_an_invalid_image_url_is_refused(url: str) -> None:
    assert not takes(ImageUrl, url)


@pytest.mark.parametrize("name", ["\u200b", "\u2800", "\u0301", "a\x85", "\u202eguM", "", "x" * 201])
def test_an_unreadable_name_is_refused(name: str) -> None:
    assert not takes(Name, name)
