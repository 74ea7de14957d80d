"""Writes the page of settings from the fields' descriptions whenever the site is built."""

from __future__ import annotations

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from steadymask.settings_reference import settings_reference


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to the files of the site."""
    files.append(File.generated(config, "settings.md", content=settings_reference()))
    return files


def on_page_context(context: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Leave the page's edit link out: it has no source."""
    return context
