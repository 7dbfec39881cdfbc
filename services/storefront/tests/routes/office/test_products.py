"""Products in the back office."""

import html
import re

import pytest

MUG = {
    "sku": "CUP-1",
    "name": "A cup",
    "description": "Blue.\r\nHandmade.",
    "category": "kitchen",
    "price": "12.50",
    "image_url": "",
}


def fields(page) -> dict[str, str]:
    """Returns the values of a page's inputs and text areas."""
    inputs = re.findall(r'<input(?: id="\w+"| type="hidden")? name="(\w+)"[^>]*? value="([^"]*)"', page.text)
    areas = re.findall(r'<textarea id="\w+" name="(\w+)"[^>]*>\n(.*?)</textarea>', page.text, re.DOTALL)
    return {name: html.unescape(value) for name, value in [*inputs, *areas]}


async def test_products_are_found_by_sku_and_name_also_hidden_ones(ada, others) -> None:
    others.sell("CUP-1", name="A cup", hidden=True)
    page = await ada.get("/admin/products")
    assert "A mug" in page.text
    assert "A cup" in page.text
    assert "A mug" not in (await ada.get("/admin/products?q=cup")).text
    assert "A mug" not in (await ada.get("/admin/products?hidden=true")).text
    assert "A cup" not in (await ada.get("/admin/products?hidden=false&below=11")).text
    assert "No product matches." in (await ada.get("/admin/products?below=10")).text


async def test_more_products_are_a_link_away_with_the_same_filters(ada, others) -> None:
    for number in range(60):
        others.sell(f"CUP-{number:02}", name=f"Cup {number:02}")
    first = await ada.get("/admin/products?q=cup&below=20")
    (more,) = re.findall(r'href="(/admin/products\?[^"]*cursor[^"]*)"', first.text)
    second = await ada.get(html.unescape(more))
    assert ("Cup 49" in first.text, "Cup 50" in first.text) == (True, False)
    assert ("Cup 49" in second.text, "Cup 50" in second.text, "Cup 59" in second.text) == (False, True, True)
    assert "below=20" in more


async def test_products_can_be_listed_from_the_least_available_one(ada, others) -> None:
    for number in range(60):
        others.sell(f"CUP-{number:02}", name=f"Cup {number:02}", available=number // 2 if number else 50)
    first = await ada.get("/admin/products?q=cup&sort=available")
    assert re.findall(r">Cup (\d+)<", first.text) == [f"{number:02}" for number in range(1, 51)]
    (more,) = re.findall(r'href="(/admin/products\?[^"]*cursor[^"]*)"', first.text)
    second = await ada.get(html.unescape(more))
    assert re.findall(r">Cup (\d+)<", second.text) == [*(f"{number}" for number in range(51, 60)), "00"]


@pytest.mark.parametrize("query", ["q=%00", "q=" + "x" * 5000, "hidden=maybe&below=-1&cursor=%ff", "q=%F0%9F%98%80"])
async def test_a_strange_search_is_a_page(ada, query: str) -> None:
    assert (await ada.get(f"/admin/products?{query}")).status_code == 200


async def test_a_product_is_created(ada, others) -> None:
    form = await ada.get("/admin/products/new")
    assert "Price in EUR" in form.text
    answer = await ada.post("/admin/products", data=MUG)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/products/CUP-1?done=created")
    assert others.products["CUP-1"]["price"] == {"amount": 1250, "currency": "EUR"}
    assert others.products["CUP-1"]["description"] == "Blue.\nHandmade."
    assert "It has no stock yet." in (await ada.get(answer.headers["Location"])).text


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("price", "12,5", "Enter an amount above 0 and up to 10000000.00, such as 12.50."),
        ("price", "", "Enter an amount above 0"),
        ("sku", "MUG-1", "This SKU belongs to another product"),
        ("sku", "a b", "Use 2 to 32 capital letters"),
        ("name", "", "Enter a name"),
        ("name", "\0", "Enter a name"),
        ("category", "Coffee & Tea", "Use small letters"),
    ],
)
async def test_an_error_stands_next_to_its_field_and_the_text_stays(
    ada, others, field: str, value: str, error: str
) -> None:
    page = await ada.post("/admin/products", data=MUG | {field: value})
    assert page.status_code == 422
    assert 'aria-invalid="true"' in page.text
    assert re.search(rf'<p class="error" id="about-{field}">{error}', page.text)
    kept = fields(page)
    assert kept == {**kept, **{name: text for name, text in MUG.items() if name != field and name != "description"}}
    assert kept[field].strip() == value.replace("\0", "")  # which HTML cannot contain
    assert "Handmade." in page.text
    assert list(others.products) == ["MUG-1"]


async def test_a_name_is_shown_as_text_wherever_it_is_shown(ada, others) -> None:
    attack = '</textarea><script>alert(1)</script>"><img src=x onerror=alert(1)>'
    others.sell("MUG-1", name=attack, description=attack, category=attack)
    for path in ("/admin/products", "/admin/products/MUG-1", "/admin/products/MUG-1/stock"):
        page = await ada.get(path)
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text


async def test_a_change_is_saved(ada, others) -> None:
    form = fields(await ada.get("/admin/products/MUG-1"))
    assert (form["name"], form["price"], form["version"]) == ("A mug", "12.50", '"1-1"')
    answer = await ada.post("/admin/products/MUG-1", data=form | {"price": "1,300"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/products/MUG-1?done=saved")
    assert others.products["MUG-1"]["price"] == {"amount": 130000, "currency": "EUR"}


async def test_a_concurrent_change_shows_both_versions_and_can_be_saved_over(ada, others) -> None:
    form = fields(await ada.get("/admin/products/MUG-1")) | {"name": "Ada's mug"}
    others.managed._changed("MUG-1", {"name": "Bob's mug"})
    page = await ada.post("/admin/products/MUG-1", data=form)
    assert page.status_code == 409
    assert "<td>Bob&#39;s mug</td><td>Ada&#39;s mug</td>" in page.text
    assert others.products["MUG-1"]["name"] == "Bob's mug"
    again = fields(page)
    assert (again["name"], again["version"]) == ("Ada's mug", '"2-1"')
    assert (await ada.post("/admin/products/MUG-1", data=again)).status_code == 303
    assert others.products["MUG-1"]["name"] == "Ada's mug"


async def test_what_a_form_did_not_change_stays_as_somebody_else_saved_it(ada, others) -> None:
    others.managed._changed("MUG-1", {"description": "Blue.\nHandmade."})
    form = fields(await ada.get("/admin/products/MUG-1"))
    form |= {"name": "Ada's mug", "description": form["description"].replace("\n", "\r\n")}  # as browsers send it
    others.managed._changed("MUG-1", {"description": "Bob's text", "price": {"amount": 990, "currency": "EUR"}})
    page = await ada.post("/admin/products/MUG-1", data=form)
    assert re.findall(r"<tr><th[^>]*>(\w+)</th><td", page.text) == ["Name"]
    others.managed._changed("MUG-1", {"category": "garden"})
    page = await ada.post("/admin/products/MUG-1", data=fields(page))
    assert page.status_code == 409
    assert (await ada.post("/admin/products/MUG-1", data=fields(page))).status_code == 303
    mug = others.products["MUG-1"]
    assert [mug[name] for name in ("name", "description", "category")] == ["Ada's mug", "Bob's text", "garden"]
    assert mug["price"] == {"amount": 990, "currency": "EUR"}


@pytest.mark.parametrize("was", ["", "x", "x " * 400, "\0"])
async def test_without_what_it_was_a_form_loses_nothing(ada, others, was: str) -> None:
    form = fields(await ada.get("/admin/products/MUG-1")) | {"name": "Ada's mug", "was": was}
    others.managed._changed("MUG-1", {"name": "Bob's mug", "category": "garden"})
    page = await ada.post("/admin/products/MUG-1", data=form)
    assert (page.status_code, fields(page)["name"], fields(page)["category"]) == (409, "Ada's mug", form["category"])


async def test_the_longest_description_can_be_sent_in_any_script(ada, others) -> None:
    others.managed._changed("MUG-1", {"description": "茶" * 4000})
    form = fields(await ada.get("/admin/products/MUG-1"))
    assert (await ada.post("/admin/products/MUG-1", data=form | {"name": "Ada's mug"})).status_code == 303


@pytest.mark.parametrize("version", ["", "*", '"1-1"\r\nX: y', 'W/"1-1"', "1-1", '"x"'])
async def test_a_forged_version_is_a_conflict_and_not_a_way_round_it(ada, others, version: str) -> None:
    form = fields(await ada.get("/admin/products/MUG-1")) | {"name": "Mine", "version": version}
    assert (await ada.post("/admin/products/MUG-1", data=form)).status_code == 409
    assert (await ada.post("/admin/products/MUG-1/hide", data={"version": version})).status_code == 409
    assert others.products["MUG-1"]["name"] == "A mug"


async def test_a_product_is_hidden_and_restored(ada, others) -> None:
    version = fields(await ada.get("/admin/products/MUG-1"))["version"]
    hidden = await ada.post("/admin/products/MUG-1/hide", data={"version": version})
    assert hidden.headers["Location"] == "/admin/products/MUG-1?done=hidden"
    page = await ada.get("/admin/products/MUG-1")
    assert "Put back into the shop" in page.text
    assert "Hide from the shop" not in page.text
    assert (await ada.post("/admin/products/MUG-1/restore")).status_code == 303
    assert others.products["MUG-1"]["hidden"] is False


async def test_a_product_that_was_changed_meanwhile_is_not_hidden(ada, others) -> None:
    others.managed._changed("MUG-1", {"name": "Bob's mug"})
    page = await ada.post("/admin/products/MUG-1/hide", data={"version": '"1-1"'})
    assert page.status_code == 409
    assert "Bob&#39;s mug" in page.text
    assert "so it is not hidden yet" in page.text


async def test_after_a_change_of_a_product_that_was_hidden_meanwhile_it_is_put_back_with_the_text_kept(
    ada, others
) -> None:
    form = fields(await ada.get("/admin/products/MUG-1")) | {"name": "Ada's mug"}
    others.managed._changed("MUG-1", {"hidden": True})
    page = await ada.post("/admin/products/MUG-1", data=form)
    assert page.status_code == 409
    assert "Somebody else has hidden this product" in page.text
    assert "<td>A mug</td><td>Ada&#39;s mug</td>" in page.text
    assert 'formaction="/admin/products/MUG-1/restore"' in page.text
    back = await ada.post("/admin/products/MUG-1/restore", data=fields(page))
    assert (back.status_code, others.products["MUG-1"]["hidden"]) == (200, False)
    assert "The product is in the shop again." in back.text
    assert fields(back)["name"] == "Ada's mug"
    assert (await ada.post("/admin/products/MUG-1", data=fields(back))).status_code == 303
    assert others.products["MUG-1"]["name"] == "Ada's mug"


async def test_a_mistake_in_a_product_that_was_hidden_meanwhile_costs_no_text_either(ada, others) -> None:
    form = fields(await ada.get("/admin/products/MUG-1")) | {"name": "Ada's mug", "price": ""}
    others.managed._changed("MUG-1", {"hidden": True})
    page = await ada.post("/admin/products/MUG-1", data=form)
    assert (page.status_code, fields(page)["name"]) == (422, "Ada's mug")
    assert 'formaction="/admin/products/MUG-1/restore"' in page.text


async def test_a_hidden_product_cannot_be_edited_so_that_nothing_typed_is_lost(ada, others) -> None:
    others.sell("CUP-1", name="A cup", hidden=True)
    assert "<fieldset disabled" in (await ada.get("/admin/products/CUP-1")).text
    assert "<fieldset disabled" not in (await ada.get("/admin/products/MUG-1")).text


async def test_a_product_that_somebody_else_has_hidden_is_hidden(ada, others) -> None:
    form = fields(await ada.get("/admin/products/MUG-1"))
    others.managed._changed("MUG-1", {"hidden": True})
    answer = await ada.post("/admin/products/MUG-1/hide", data=form)
    assert answer.headers["Location"] == "/admin/products/MUG-1?done=hidden"


EMPTY = {"sku": "", "name": "", "description": "", "category": "", "price": "", "image_url": ""}


async def test_all_wrong_fields_of_an_empty_form_are_named_at_once(ada) -> None:
    new = await ada.post("/admin/products", data=EMPTY)
    old = await ada.post("/admin/products/MUG-1", data=EMPTY | {"version": '"1-1"'})
    assert re.findall(r'<p class="error" id="about-(\w+)"', new.text) == ["sku", "name", "category", "price"]
    assert re.findall(r'<p class="error" id="about-(\w+)"', old.text) == ["name", "category", "price"]


async def test_without_an_answer_a_page_does_not_claim_that_nothing_is_saved(ada, others) -> None:
    others.down.add("catalog")
    for path in ("/admin/products", "/admin/products/MUG-1"):
        page = await ada.post(path, data=MUG)
        assert "it is not known whether this is saved" in page.text


async def test_a_form_that_was_saved_without_an_answer_can_be_sent_again(ada, others) -> None:
    form = fields(await ada.get("/admin/products/MUG-1")) | {"price": "1,300", "description": "Blue.\r\nHandmade."}
    for path, sent, done in (
        ("/admin/products", MUG, "CUP-1?done=created"),
        ("/admin/products/MUG-1", form, "MUG-1?done=saved"),
    ):
        for _ in range(2):  # the answer to the first one does not arrive
            answer = await ada.post(path, data=sent)
            assert answer.headers["Location"] == f"/admin/products/{done}"
    assert others.managed.versions["MUG-1"] == 2


async def test_a_sku_of_a_hidden_product_is_taken_whatever_the_product_is(ada, others) -> None:
    await ada.post("/admin/products", data=MUG)
    others.managed._changed("CUP-1", {"hidden": True})
    page = await ada.post("/admin/products", data=MUG)
    assert "This SKU belongs to another product, which may be hidden." in page.text


async def test_without_catalog_nothing_typed_is_lost(ada, others) -> None:
    form = fields(await ada.get("/admin/products/MUG-1")) | {"name": "Ada's mug"}
    others.down.add("catalog")
    new, old = await ada.post("/admin/products", data=MUG), await ada.post("/admin/products/MUG-1", data=form)
    assert (new.status_code, old.status_code) == (503, 503)
    others.down.clear()
    assert (await ada.post("/admin/products", data=fields(new))).status_code == 303
    assert (await ada.post("/admin/products/MUG-1", data=fields(old))).status_code == 303
    assert (others.products["CUP-1"]["name"], others.products["MUG-1"]["name"]) == ("A cup", "Ada's mug")


@pytest.mark.parametrize("path", ["/admin/products/CUP-9", "/admin/products/nonsense", "/admin/products/CUP-9/stock"])
async def test_an_unknown_product_leads_back_to_the_list(ada, path: str) -> None:
    for answer in (await ada.get(path), await ada.post(path, data=MUG | {"quantity": "1", "id": "1"})):
        assert answer.status_code == 404
        assert "Check the SKU" in answer.text
        assert 'href="/admin/products"' in answer.text.partition("<h1>")[2]


async def test_a_text_that_cannot_be_seen_is_explained(ada, others) -> None:
    page = await ada.post("/admin/products", data=MUG | {"name": "\u202e"})
    assert "without line breaks and characters that cannot be seen" in page.text
