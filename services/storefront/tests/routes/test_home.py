"""The first page."""


async def test_it_shows_categories_and_products(browser) -> None:
    async with browser() as ann:
        page = await ann.get("/")
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "A mug" in page.text
    assert "€12.50" in page.text


async def test_without_catalog_it_is_a_503_that_says_so(browser, others) -> None:
    others.down.add("catalog")
    async with browser() as ann:
        page = await ann.get("/")
    assert (page.status_code, page.headers["Retry-After"]) == (503, "1")
    assert page.headers["Content-Type"].startswith("text/html")


async def test_a_program_gets_a_problem_document(browser, others) -> None:
    others.down.add("catalog")
    async with browser(Accept="*/*") as program:
        answer = await program.get("/")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["type"].endswith("/catalog-unavailable")
