"""What the site has beside the pages of this folder: the CHANGELOG, and the files of the repository that pages link to.

Pages link to them as on a code host (`../envoy/static.yaml`); the site has a copy of each below `source/`.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = re.compile(r"(?<=\]\()((?:\.\./)+[^)#\s]+)")
ELSEWHERE = {"CHANGELOG.md": "changelog.md", "README.md": "index.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    changes = (ROOT / "CHANGELOG.md").read_text().replace("](docs/", "](")  # it lies beside the pages here
    files.append(File.generated(config, "changelog.md", content=changes))
    for page in files.documentation_pages():
        for link in OUTSIDE.findall(page.content_string):
            path = _repository_path(page.src_uri, link)
            if path and path not in ELSEWHERE and files.get_file_from_path(f"source/{path}") is None:
                files.append(File.generated(config, f"source/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    here = posixpath.dirname(page.file.src_uri) or "."

    def inside(match: re.Match[str]) -> str:
        path = _repository_path(page.file.src_uri, match[1])
        return posixpath.relpath(ELSEWHERE.get(path, f"source/{path}"), here) if path else match[1]

    return OUTSIDE.sub(inside, markdown)


def _repository_path(page: str, link: str) -> str | None:
    """The file that a page's link leads to, from the top of the repository; None for a page of the site."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
    return None if path.startswith("docs/") or not (ROOT / path).is_file() else path
