"""If-Match compares strongly, If-None-Match weakly; lists, several lines, malformed headers (RFC 9110, 13.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import Malformed
from chassis.etags import not_modified, strong


@pytest.mark.parametrize(
    ("lines", "tags"),
    [
        (["*"], None),
        ([" * "], None),
        (['"a"'], ["a"]),
        (['""'], [""]),
        (['"a", "b"'], ["a", "b"]),
        (['"a","b"'], ["a", "b"]),
        (['"a"', '"b"'], ["a", "b"]),
        ([', "a" ,, "b",'], ["a", "b"]),
        (['"a,b"'], ["a,b"]),
        (['W/"a"'], []),
        (['W/"a", "b"'], ["b"]),
        (['"W/"'], ["W/"]),
        (['"é!#~"'], ["é!#~"]),
    ],
)
def test_if_match_names_strong_tags(lines: list[str], tags: list[str] | None) -> None:
    assert strong(lines) == tags


MALFORMED = [
    *("", " ", ",", "a", '"a', 'a"', '"a" "b"', 'w/"a"', 'W/ "a"', "W/a", '*, "a"', '"a", *', "*,*"),
    *('"a b"', '"\t"', '"a"b', '"""', "'a'"),
]


@pytest.mark.parametrize("value", MALFORMED)
def test_an_if_match_that_is_malformed_is_refused(value: str) -> None:
    with pytest.raises(Malformed, match="malformed-if-match"):
        strong([value])


@pytest.mark.parametrize("lines", [["*"], ['"a"'], ['W/"a"'], ['"b", W/"a"'], ['"b"', '"a"'], [',"a"']])
def test_if_none_match_compares_weakly(lines: list[str]) -> None:
    assert not_modified(lines, '"a"')


@pytest.mark.parametrize("lines", [[], ['"b"'], ['"A"'], ['""'], ['"a,"'], *([value] for value in MALFORMED)])
def test_another_tag_or_a_malformed_one_is_no_match(lines: list[str]) -> None:
    assert not not_modified(lines, '"a"')


TAGS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f', exclude_categories=["Cc"])
)


@given(st.lists(TAGS, min_size=1, max_size=5))
def test_written_tags_are_read_back(tags: list[str]) -> None:
    assert strong([", ".join(f'"{tag}"' for tag in tags)]) == strong([f'"{tag}"' for tag in tags]) == tags


@given(st.text(st.sampled_from(' \t,"W/*a'), max_size=30))
def test_anything_is_tags_or_malformed(value: str) -> None:
    try:
        strong([value])
    except Malformed:
        assert not not_modified([value], '"zz"')
