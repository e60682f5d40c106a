"""The documentation builds without a warning, loads nothing from elsewhere, and every link of it leads somewhere."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
TEST_NAMED = re.compile(r"`(tests/[\w/]+(?:\.py)?)(?:::(\w+))?`")
LOADING = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("object", "data"), ("use", "href")}
LOADING_RELATIONS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make docs` builds it; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return folder


def test_it_builds_and_every_page_is_there(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        assert (site / page.relative_to(DOCS).with_suffix(".html")).is_file()
    assert (site / "changelog.html").is_file()
    assert (site / "source" / "envoy" / "static.yaml").is_file(), "a file of the repository that a page links to"


def test_it_loads_nothing_from_another_host(site: Path) -> None:
    found = {str(page.relative_to(site)): loaded(page.read_text()) for page in site.rglob("*.html")}
    styles = {str(sheet.relative_to(site)): loaded_by_style(sheet.read_text()) for sheet in site.rglob("*.css")}
    assert len(found) > 20
    assert {page: urls for page, urls in (found | styles).items() if any(elsewhere(url) for url in urls)} == {}
    assert not any('class="mermaid"' in page.read_text() for page in site.rglob("*.html")), "it would fetch a script"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere_on_a_code_host_too(page: Path) -> None:
    dead = []
    for link in links(page):
        if elsewhere(link):
            continue
        path, _, anchor = link.partition("#")
        target = page if not path else (page.parent / path).resolve()
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_links_to_elsewhere_are_of_the_usual_form() -> None:
    """Whether they answer is not asked: no test needs a network."""
    found = sorted({(link, page.name) for page in PAGES for link in links(page) if elsewhere(link)})
    assert found
    for link, page in found:
        parts = urlsplit(link)
        assert parts.scheme == "https", (page, link)
        assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), (page, link)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    for path, name in TEST_NAMED.findall(page.read_text()):
        file = ROOT / path
        assert file.exists(), path
        assert not name or f"def {name}(" in file.read_text(), f"{path}::{name}"


def links(page: Path) -> list[str]:
    return LINK.findall(FENCE.sub("", page.read_text()))


def elsewhere(link: str) -> bool:
    return link.startswith("//") or bool(urlsplit(link).scheme)


@functools.cache
def anchors(page: Path) -> set[str]:
    """As code hosts make them of headings, and those that a page makes by itself."""
    text = FENCE.sub("", page.read_text())
    found: set[str] = set(re.findall(r'<a id="([^"]+)"></a>', text))
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        number = next(n for n in range(1000) if (f"{slug}-{n}" if n else slug) not in found)
        found.add(f"{slug}-{number}" if number else slug)
    return found


class Loaded(HTMLParser):
    """What a browser fetches by itself when it shows the page."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and set((given.get("rel") or "").split()) & LOADING_RELATIONS:
            self.urls.append(given.get("href") or "")
        self.urls += [value or "" for name, value in attrs if (tag, name) in LOADING]
        self.urls += loaded_by_style(given.get("style") or "")


def loaded(html: str) -> list[str]:
    parser = Loaded()
    parser.feed(html)
    inline = re.findall(r"<style[^>]*>(.*?)</style>", html, re.DOTALL)
    return parser.urls + [url for style in inline for url in loaded_by_style(style)]


def loaded_by_style(css: str) -> list[str]:
    urls = re.findall(r"url\(\s*[\"']?([^\"')]+)", css) + re.findall(r"@import\s+[\"']([^\"']+)", css)
    return [url for url in urls if not url.startswith("data:")]
