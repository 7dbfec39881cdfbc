"""Headers of every response, and refused requests from other sites."""

import pytest

ADDED = ("Content-Security-Policy", "Referrer-Policy", "Permissions-Policy", "X-Content-Type-Options")


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/x/icon.svg"])
async def test_every_response_has_the_security_headers(browser, path: str) -> None:
    async with browser() as ann:
        answer = await ann.get(path)
    assert all(name in answer.headers for name in ADDED)
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://test"},
        {"Sec-Fetch-Site": "", "Origin": "http://test"},
    ],
)
async def test_a_post_from_another_site_is_refused(browser, headers: dict[str, str]) -> None:
    async with browser(**headers) as ann:
        answer = await ann.post("/language", data={"language": "en"})
    assert answer.status_code == 403
    assert "another site" in answer.text


@pytest.mark.parametrize(
    "origin", ["http://elsewhere.example", "null", "http://test.example", "http://test:8080", "http://[", "//test", ""]
)
async def test_without_fetch_metadata_the_origin_decides(browser, origin: str) -> None:
    async with browser(Origin=origin) as ann:
        del ann.headers["Sec-Fetch-Site"]
        answer = await ann.post("/language", data={"language": "en"})
    assert answer.status_code == 403


@pytest.mark.parametrize(("origin", "status"), [("https://test", 303), ("http://test", 403)])
async def test_with_https_the_origin_must_have_it_too(browser, origin: str, status: int) -> None:
    async with browser(Origin=origin) as ann:
        del ann.headers["Sec-Fetch-Site"]
        answer = await ann.post("https://test/language", data={"language": "en"})
    assert answer.status_code == status


@pytest.mark.parametrize("origin", ["http://test", "https://test"])  # the edge may be behind a proxy with TLS
async def test_the_own_origin_is_accepted(browser, origin: str) -> None:
    async with browser(Origin=origin) as ann:
        del ann.headers["Sec-Fetch-Site"]
        answer = await ann.post("/language", data={"language": "en"})
    assert answer.status_code == 303
