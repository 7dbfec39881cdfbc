"""Which drawing a product gets, and what the sprite may contain."""

import gzip
import itertools
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files

import pytest

from chassis.errors import NotFound
from storefront.models.motifs import BY_CATEGORY, FALLBACK, PHRASES
from storefront.models.pictures import BACKDROPS, PALETTES, Palette, Picture, category_picture, colors, picture_of, srgb
from storefront.routes import assets, pictures
from storefront.routes.languages import LANGUAGES
from storefront.routes.pages import _environment
from storefront.usecases.remote import Money, Product

SVG = "{http://www.w3.org/2000/svg}"
SPRITE = assets.FILES["motifs.svg"]
ROOT = ET.fromstring(SPRITE)
SYMBOLS = [symbol.attrib["id"] for symbol in ROOT]
BACKS = {f"back-{number}" for number in range(BACKDROPS)}

CATALOG = json.loads((files("shopctl") / "demo" / "products.json").read_text())


def demo() -> Iterator[tuple[str, str, str]]:
    """Yields SKU, name and category of each product of the demo catalog."""
    for category in CATALOG:
        for product in category["products"]:
            yield product["sku"], product["name"], category["slug"]


def similar(one: Palette, other: Palette) -> bool:
    apart = abs(one.hue - other.hue)
    return min(apart, 360 - apart) <= 25


def alike(one: Picture, other: Picture) -> bool:
    return one.motif == other.motif and similar(PALETTES[one.palette], PALETTES[other.palette])


def luminance(color: str) -> float:
    """Returns the relative luminance of WCAG 2."""
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4
        for each in (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(
    ("name", "motif"),
    [
        ("Enamel Camp Mug 400 ml", "mug"),
        ("Storm Lantern, Paraffin", "lantern"),
        ("Over-Ear Headphones, Closed", "headphones"),
        ("Kelly-Green Sou'wester", "souwester"),
        ("Kelly-Green Sou’wester", "souwester"),
        ("CRÈMES", "jar"),
        ("Boot Socks, Ragg Wool", "socks"),
        ("Stovetop Moka Pot", "moka"),
        ("Peppermill with Ceramic Grinder", "mill"),
        ("Lip Balm, Beeswax Tin", "tin"),
        ("The Old One, a Kettle", "kettle"),
        ("Wall Bracket for Turntable", "turntable"),
        ("Soap Dish, Ridged Slate", "soap-dish"),
        ("Paper Knife, Forged", "paper-knife"),
    ],
)
def test_the_noun_of_the_name_gives_the_motif(name: str, motif: str) -> None:
    assert picture_of("ANY-0001", name, "kitchen").motif == motif


@pytest.mark.parametrize(("category", "motif"), [*BY_CATEGORY.items(), ("unheard-of", FALLBACK), ("", FALLBACK)])
def test_an_unknown_word_gets_the_motif_of_the_category_or_a_parcel(category: str, motif: str) -> None:
    for name in ("Zzyzx", "", "…", "茶"):
        assert picture_of("ANY-0001", name, category).motif == motif


@pytest.mark.parametrize("sku", ["", "7", "BTH-0001", "BTH-99999999999999999999", "gift", "Ж-١٢", "a\n1"])
def test_each_sku_has_a_picture_which_stays_the_same(sku: str) -> None:
    picture = picture_of(sku, "Mug", "kitchen")
    assert picture == picture_of(sku, "Mug", "kitchen")
    assert picture.palette in range(len(PALETTES))
    assert picture.backdrop in range(BACKDROPS)


def test_a_picture_is_the_same_in_each_release() -> None:
    assert picture_of("BTH-0001", "Seaweed Soap Bar", "bath-and-body") == Picture("soap", 13, 4)


def test_the_numbers_of_a_range_use_all_palettes_and_backdrops_evenly() -> None:
    shown = [picture_of(f"ABC-{number:04}", "Mug", "kitchen") for number in range(1, 25)]
    assert Counter(each.palette for each in shown) == dict.fromkeys(range(24), 1)
    assert Counter(each.backdrop for each in shown) == dict.fromkeys(range(BACKDROPS), 24 // BACKDROPS)


@pytest.mark.parametrize(
    ("name", "hue"),
    [("Fisherman's Guernsey, Navy", 255), ("Kelly-Green Sou'wester", 150), ("Bobble Hat, Harbour Red", 15)],
)
def test_a_color_in_the_name_is_the_color_of_the_drawing(name: str, hue: int) -> None:
    shown = {picture_of(f"ANY-{number}", name, "knitwear").palette for number in range(24)}
    assert [PALETTES[palette].hue for palette in shown] == [hue]


def test_skus_without_a_number_differ_too() -> None:
    assert len({picture_of(sku, "Mug", "kitchen")[1:] for sku in ("red", "green", "blue", "gray", "black")}) > 3


@pytest.mark.parametrize("order", ["sku", "name", "price"])
@pytest.mark.parametrize("category", CATALOG, ids=[each["slug"] for each in CATALOG])
def test_neighbors_in_a_list_do_not_look_alike(category: dict[str, object], order: str) -> None:
    products: Sequence[dict[str, str]] = category["products"]  # type: ignore[assignment]
    ordered = sorted(products, key=lambda product: product[order])
    shown = [picture_of(product["sku"], product["name"], str(category["slug"])) for product in ordered]
    assert [pair for pair in itertools.pairwise(shown) if alike(*pair)] == []


def test_each_motif_is_of_a_product_of_the_demo_catalog_or_a_fallback() -> None:
    shown = {picture_of(*product).motif for product in demo()}
    assert shown | {*BY_CATEGORY.values(), FALLBACK} == set(SYMBOLS) - BACKS
    assert len(shown) >= 140


def test_a_product_of_the_demo_catalog_is_recognized_by_its_name() -> None:
    assert [name for _, name, _ in demo() if picture_of("1", name, "").motif == FALLBACK] == []


def test_the_sprite_has_exactly_the_motifs_that_are_named() -> None:
    assert len(SYMBOLS) == len(set(SYMBOLS))
    assert set(SYMBOLS) == {*PHRASES.values(), *BY_CATEGORY.values(), FALLBACK} | BACKS


def test_the_sprite_is_small() -> None:
    assert len(gzip.compress(SPRITE, 6)) < 17_408


def test_the_sprite_has_shapes_only() -> None:
    assert {symbol.tag for symbol in ROOT} == {f"{SVG}symbol"}
    assert {symbol.attrib["viewBox"] for symbol in ROOT} == {"0 0 120 120"}
    shapes = [shape for symbol in ROOT for shape in symbol.iter() if shape is not symbol]
    assert {shape.tag.removeprefix(SVG) for shape in shapes} == {"path", "rect", "circle", "ellipse", "g"}
    allowed = {"fill", "stroke", "stroke-width", "opacity", "transform", "d"}
    allowed |= {"x", "y", "width", "height", "rx", "ry", "cx", "cy", "r"}
    assert {name for shape in shapes for name in shape.attrib} <= allowed
    assert not any((each.text or "").strip() or (each.tail or "").strip() for each in ROOT.iter())
    for unwanted in (b"<!", b"<?", b"url(", b"href", b"style", b"xlink"):
        assert unwanted not in SPRITE


def test_each_color_of_the_sprite_is_a_variable_with_a_fallback() -> None:
    paints = re.findall(r'(?:fill|stroke)="([^"]*)"', SPRITE.decode())
    assert {paint for paint in paints if not re.fullmatch(r"var\(--[abcdet],#[0-9a-f]{6}\)", paint)} == {"none"}


def test_the_style_sheet_has_the_same_palettes() -> None:
    css = assets.FILES["pictures.css"].decode()
    rules = re.findall(r"\.p(\d+) \{ --h: (\d+); --k: (\d+)(?:; --l: (\d+)%)? \}", css)
    found = {int(number): Palette(int(h), int(k), int(light or 60)) for number, h, k, light in rules}
    assert found == dict(enumerate(PALETTES))


@pytest.mark.parametrize("palette", PALETTES, ids=lambda palette: f"hue {palette.hue}")
def test_motifs_stand_out(palette: Palette) -> None:
    values = colors(palette)
    assert contrast(values["--a"], values["--t"]) >= 2
    assert contrast(values["--a"], values["--g"]) >= 2
    assert contrast(values["--a"], values["--d"]) >= 2


@pytest.mark.parametrize(
    ("oklch", "color"),
    [
        ((100, 0, 0), "#ffffff"),
        ((0, 0, 0), "#000000"),
        ((62.796, 0.25768, 29.234), "#ff0000"),
        ((86.644, 0.29483, 142.495), "#00ff00"),
        ((45.201, 0.31321, 264.052), "#0000ff"),
        ((70, 0.4, 150), "#00d600"),
    ],
)
def test_known_colors_are_converted(oklch: tuple[float, float, float], color: str) -> None:
    assert srgb(*oklch) == color


@pytest.mark.parametrize("motif", sorted(set(SYMBOLS) - BACKS))
def test_a_drawing_stands_alone(motif: str) -> None:
    document = pictures.drawing(Picture(motif, 7, 2))
    drawn = ET.fromstring(document)
    assert drawn.attrib == {"width": "480", "height": "480", "viewBox": "0 0 120 120"}
    assert "var(" not in document
    assert "symbol" not in document


async def test_the_address_of_a_picture_gives_its_drawing() -> None:
    assert pictures.address(Picture("mug", 7, 2)) == "/pictures/mug-7-2.svg"
    answer = await pictures.picture("mug-7-2")
    assert answer.body.decode() == pictures.drawing(Picture("mug", 7, 2))
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("name", ["", "mug", "mug-7", "mug-24-0", "mug-7-6", "mug-07-2", "back-0-7-2", "nothing-1-1"])
async def test_an_unknown_picture_is_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        await pictures.picture(name)


def rendered(**values: str) -> ET.Element:
    """Returns what the macro of the templates makes of a product."""
    product = Product("KIT-0007", 'A "mug" & more', "", "kitchen", Money(100, "EUR"), 1, **values)
    template = '{% from "picture.html" import picture %}{{ picture(product) }}'
    html = _environment(LANGUAGES["en"]).from_string(template).render(product=product)
    return ET.fromstring(re.sub(r"(<img [^>]*)>", r"\1/>", html))


def test_categories_beside_each_other_differ() -> None:
    shown = [category_picture(slug, position) for position, slug in enumerate(sorted(BY_CATEGORY))]
    assert len({picture.palette for picture in shown}) == len(shown)
    assert all(picture.motif in SYMBOLS for picture in [*shown, category_picture("unknown", 0)])


def test_a_drawing_beside_a_name_is_not_read_aloud() -> None:
    product = Product("KIT-0007", "A mug", "", "kitchen", Money(100, "EUR"), 1)
    template = '{% from "picture.html" import picture %}{{ picture(product, labelled=false) }}'
    html = _environment(LANGUAGES["en"]).from_string(template).render(product=product)
    assert ET.fromstring(html).attrib["aria-hidden"] == "true"


def test_a_page_shows_the_drawing_and_says_what_it_is() -> None:
    svg = rendered()
    shown = picture_of("KIT-0007", "mug", "kitchen")
    assert svg.attrib == {
        "class": f"picture p{shown.palette}",
        "viewBox": "0 0 120 120",
        "role": "img",
        "aria-label": 'A "mug" & more',
    }
    sprite = assets.url("motifs.svg")
    assert [use.attrib["href"] for use in svg] == [f"{sprite}#back-{shown.backdrop}", f"{sprite}#mug"]


def test_the_signs_of_the_templates_exist() -> None:
    templates = files("storefront") / "templates"
    signs = {name for file in templates.iterdir() for name in re.findall(r'sign\("(.*?)"\)', file.read_text())}
    assert signs
    assert signs <= {*SYMBOLS}


def test_a_page_prefers_the_product_s_own_image() -> None:
    img = rendered(image_url="https://images.example/mug.webp")
    assert (img.tag, img.attrib["src"], img.attrib["alt"]) == (
        "img",
        "https://images.example/mug.webp",
        'A "mug" & more',
    )
    assert (img.attrib["loading"], img.attrib["width"], img.attrib["height"]) == ("lazy", "480", "480")
