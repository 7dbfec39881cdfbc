"""What MkDocs does with the pages of the site, beyond its own features; each module of this folder has one subject."""

import re
from typing import Any

import apis
import commands
import diagrams
import formulas
import links
import messages
import navigation
import outside
import plots
import variables
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

GENERATORS = [
    outside.files,
    apis.files,
    messages.files,
    variables.files,
    commands.files,
    plots.files,
    diagrams.files,
]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the Markdown extension that rewrites links."""
    config.markdown_extensions.append(links.EXTENSION)  # type: ignore[arg-type]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the files that are generated, or that lie outside of docs/, and lists all pages in the navigation."""
    for generator in GENERATORS:
        for file in generator(config):
            files.append(file)
    config.nav = navigation.expanded(config.nav, [page.src_uri for page in files.documentation_pages()])
    links.EXTENSION.files = {links.written(file): file.src_uri for file in files}
    links.EXTENSION.repository = config.repo_url or ""
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Shows a lab's front matter below its heading."""
    links.EXTENSION.file = page.file
    facts = [f"Runtime: {page.meta['runtime']}"] if "runtime" in page.meta else []
    facts += [f"Time: {page.meta['minutes']} minutes"] if "minutes" in page.meta else []
    if not facts:
        return markdown
    return re.sub(
        r"^# .*\n", lambda heading: f"{heading[0]}\n*{' · '.join(facts)}*\n", markdown, count=1, flags=re.MULTILINE
    )


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Removes comments, and draws formulas and diagrams. Code is not changed: there, `<` is escaped."""
    html = re.sub(r"<!--.*?-->", "", html, flags=re.DOTALL)
    return diagrams.with_script(formulas.drawn(html), page.file)
