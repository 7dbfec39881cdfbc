"""Every text of the pages has a translation into every other language, and the two fit together."""

import re
from collections import defaultdict
from html.parser import HTMLParser

import pytest
from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from jinja2 import Environment

from storefront.routes.languages import LOCALES
from storefront.routes.pages import TEMPLATES

SOURCES = LOCALES.parent
TRANSLATED = [file.name for file in LOCALES.iterdir()]
PARTS = re.compile(r"%\(\w+\)\w|<[^>]+>")
"""The parts of a text that its translation must have too: placeholders and tags."""

Id = str | tuple[str, ...]


def extracted() -> dict[Id, str]:
    """Returns the texts of templates and Python modules, each with a place where it is used."""
    found = extract_from_dir(
        SOURCES,
        method_map=[("**.py", "python"), ("templates/**.html", "jinja2")],
        options_map={"**.html": {"trimmed": "true", "silent": "false"}},
    )
    return {id: f"{file}:{line}" for file, line, id, _, _ in found}


@pytest.fixture(params=TRANSLATED)
def catalog(request) -> Catalog:
    with (LOCALES / request.param / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=request.param, abort_invalid=True)


def test_no_text_lacks_a_translation(catalog: Catalog) -> None:
    """If this fails: add the named texts to messages.po, in alphabetical order of msgid."""
    translated = {message.id for message in catalog if message.id and _strings(message.string)}
    assert [(place, id) for id, place in extracted().items() if id not in translated] == []


def test_no_translation_is_fuzzy_or_of_a_text_that_is_gone(catalog: Catalog) -> None:
    known = extracted()
    assert [message.id for message in catalog if message.id and (message.fuzzy or message.id not in known)] == []
    assert list(catalog.obsolete) == []


def test_translations_have_the_placeholders_and_tags_of_their_texts(catalog: Catalog) -> None:
    differ = []
    for message in catalog:
        expected = sorted(set(PARTS.findall(_strings(message.id)[-1]))) if message.id else []
        if message.id and any(sorted(set(PARTS.findall(text))) != expected for text in _strings(message.string)):
            differ.append(message.id)
    assert differ == []


def test_every_text_can_be_filled_in(catalog: Catalog) -> None:
    """A lone `%` must be written as `%%`, because values are filled in by the operator `%`."""
    for message in catalog:
        for text in [*_strings(message.id), *_strings(message.string)] if message.id else []:
            assert text % defaultdict(int)


def test_translations_are_in_alphabetical_order_so_that_changes_merge(catalog: Catalog) -> None:
    ids = [_strings(message.id)[0] for message in catalog if message.id]
    assert ids == sorted(ids, key=lambda id: (id.casefold(), id))


class Untranslated(HTMLParser):
    """Collects the words of a template that stand outside of `_()` and `{% trans %}`."""

    SHOWN = frozenset({"alt", "aria-label", "placeholder", "title"})

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words += re.findall(r"[^\W\d_]{2,}", data)

    def handle_starttag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in self.SHOWN:
                self.handle_data(value or "")


@pytest.mark.parametrize("name", [file.name for file in TEMPLATES.iterdir() if file.name != "docs.html"])
def test_templates_have_no_words_that_cannot_be_translated(name: str) -> None:
    source = re.sub(r"{%-?\s*trans\b.*?endtrans\s*-?%}", "", (TEMPLATES / name).read_text(), flags=re.DOTALL)
    parser = Untranslated()
    parser.feed("".join(value for _, kind, value in Environment().lex(source) if kind == "data"))
    assert set(parser.words) <= {"Quayside"}


def _strings(given: Id | None) -> tuple[str, ...]:
    """Returns the forms of a text: one, or one for each plural. It is empty if a form is."""
    forms = (given,) if isinstance(given, str) else given or ()
    return tuple(forms) if all(forms) else ()
