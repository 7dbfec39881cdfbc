"""Lists that people search by eye are in the order of their language."""

import pytest

from storefront.routes.languages import LANGUAGES


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("en", ["Afghanistan", "Åland Islands", "Albania", "Côte d’Ivoire", "Croatia", "Cuba", "Curaçao", "Cyprus"]),
        ("zh-Hans", ["阿根廷", "奥地利", "德国", "法国", "美国", "日本", "英国", "中国"]),  # by pinyin
    ],
)
def test_countries_are_sorted_as_their_language_sorts_them(language: str, names: list[str]) -> None:
    listed = [name for _, name in LANGUAGES[language].countries()]
    assert [name for name in listed if name in names] == names
