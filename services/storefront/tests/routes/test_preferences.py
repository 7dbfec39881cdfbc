"""The choice of a language."""


async def test_a_chosen_language_is_remembered(browser) -> None:
    async with browser() as ann:
        chosen = await ann.post("/language", data={"language": "zh-Hans", "to": "/?x=1"})
        page = await ann.get("/")
    assert (chosen.status_code, chosen.headers["Location"]) == (303, "/?x=1")
    assert 'lang="zh-Hans"' in page.text


async def test_an_unknown_language_changes_nothing(browser) -> None:
    async with browser() as ann:
        chosen = await ann.post("/language", data={"language": "tlh\r\nX: y", "to": "//elsewhere"})
    assert (chosen.status_code, chosen.headers["Location"]) == (303, "/")
    assert "Set-Cookie" not in chosen.headers
