"""Text is what people can read and pages can show: every script and emoji, and nothing invisible."""

import json
from typing import Annotated

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from chassis.schemas import Body, Text, TextLine, parsed

text = TypeAdapter(Text).validate_python


@pytest.mark.parametrize(
    "value",
    [
        *("Ann Lee", "Zoë Å. Ångström", "Zoe\u0308", "绿茶杯 蓝色", "お茶", "한국 녹차", "ถ้วยชา", "Ελένη", "नमस्ते"),
        *("שלום", "السلام عليكم", "فنجان\u200cها", "\u200fשלום\u200f (Shalom)", "Rio\u00a0de\u00a0Janeiro"),
        *("☕", "❤️", "👩\u200d👩\u200d👧", "🇳🇴", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "1️⃣"),
        *("Tea \u2067שלום\u2069 Cup", "\u202aTea \u202bשלום\u202c\u202c", "\u2068\u202etea\u202c\u2069"),
        *("Line one\nline two\tand more", "soft\u00adhyphen", "zero\u200bwidth", "-", "\ue000", "\U0001fae9"),
        *("", "7", "\u00b7", "x\u3164"),
    ],
)
def test_readable_text_stays_as_it_is(value: str) -> None:
    assert text(value) == value


@pytest.mark.parametrize(("given", "kept"), [("  Ann\n", "Ann"), ("\u3000茶\u2003", "茶"), (" \t\n\u00a0\u2028", "")])
def test_surrounding_space_is_removed(given: str, kept: str) -> None:
    assert text(given) == kept


@pytest.mark.parametrize(
    "value",
    [
        *("a\0", "\x01", "a\x1b[2J", "a\x7fb", "a\x85b", "\x9bm", "a\x0bb", "\x1c"),
        *("\ud800", "a\udfffb"),
        *(
            "\u200b",
            "\u200d",
            "\ufeff",
            "\u2060\u200c",
            "\u00ad",
            "\u180e",
            "\u200e\u200f",
            "\u2063",
            "\U000e0041",
            "\U000e0000",
        ),
        *("\u3164", "\u115f\u1160", "\uffa0", "\u2800", " \u200b ", "\u0301", "\ufe0f", "\u034f", "\u20dd"),
        *(
            "Ann \u202eeeL",
            "\u2067Ann",
            "Ann\u202c",
            "Ann\u2069",
            "\u202a\u2067Ann\u202c\u2069",
            "\u2066\u202ea\u2069\u202c",
        ),
    ],
)
def test_what_hides_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="must "):
        text(value)


@pytest.mark.parametrize("value", ["Ann\nLee", "Ann\r\nLee", "Quay\t1", "Ann\u2028Lee", "Ann\u2029Lee"])
def test_a_name_is_one_line(value: str) -> None:
    assert text(value) == value
    with pytest.raises(ValidationError, match="must be one line"):
        TypeAdapter(TextLine).validate_python(value)


@given(st.text())
def test_text_is_refused_or_read_the_same_again(value: str) -> None:
    try:
        kept = text(value)
    except ValidationError:
        return
    assert text(kept) == kept == kept.encode().decode()
    assert not any(c.isprintable() is False and ord(c) < 0xA0 and c not in "\t\n\r" for c in kept)


@given(st.text(st.characters(categories=["Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp"]), min_size=1))
def test_invisible_text_is_no_name(value: str) -> None:
    name = TypeAdapter(Annotated[Text, Field(min_length=1)])
    with pytest.raises(ValidationError):
        name.validate_python(value)


def test_a_body_in_one_step_says_where_it_is_wrong() -> None:
    class Lamp(Body):
        name: Text

    assert parsed(Lamp, b'{"name": " desk "}').name == "desk"
    for wrong in ("\u200b", "\x85", "\u202e"):
        with pytest.raises(RequestValidationError) as caught:
            parsed(Lamp, json.dumps({"name": wrong}).encode())
        assert [error["loc"] for error in caught.value.errors()] == [("body", "name")]
