"""What the documents say is there, in both languages, and what they tell people to type exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from modiste.cli.app import app
from modiste.core.version import VERSION

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.zh-TW.md")
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "mini").glob("*.md"))
    if page.name != "LICENSE.md"
)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def links(page: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere_and_nothing_is_left_to_fill_in(page):
    content = page.read_text(encoding="utf-8")
    for link in links(content):
        if not link.startswith(("http", "#")):
            assert (page.parent / link.partition("#")[0]).exists(), link
    assert "@@" not in content and "TODO" not in content


def test_both_readmes_have_the_same_chapters_commands_tables_and_pictures():
    shape = []
    for name in READMES:
        page = text(name)
        commands = [
            [line.partition("#")[0].split() for line in block.splitlines() if not re.search(r"[→]", line)]
            for block in re.findall(r"```\n(.*?)```", page, re.DOTALL)
        ]
        rows = [re.findall(r"`(modiste \w+|--\w+)", line) for line in page.splitlines() if line.startswith("|")]
        shape.append((page.count("\n## "), commands, rows, len(re.findall(r"!\[", page))))
    assert shape[0] == shape[1]
    assert "README.zh-TW.md" in links(text(READMES[0])) and "README.md" in links(text(READMES[1]))


def test_both_readmes_give_the_same_figures():
    figures = [
        re.findall(r"\d+(?:[.,]\d+)*", re.sub(r"```.*?```", "", text(name), flags=re.DOTALL)) for name in READMES
    ]
    assert sorted(figures[0]) == sorted(figures[1])


@pytest.mark.parametrize("name", READMES)
def test_every_command_of_the_readme_exists(name):
    known = {command.callback.__name__ for command in app.registered_commands if not command.hidden}
    known |= {group.name for group in app.registered_groups}
    named = set(re.findall(r"`modiste (\w+)", text(name)))
    assert named == known


@pytest.mark.parametrize("name", READMES)
def test_the_pictures_of_the_readme_are_pictures_that_a_page_can_carry(name):
    pictures = [link for link in links(text(name)) if link.endswith((".png", ".jpg", ".webp"))]
    assert pictures
    for link in pictures:
        assert (ROOT / link).stat().st_size < 1_500_000
        Image.open(ROOT / link).verify()


def test_the_figures_of_the_demo_are_those_of_the_run_that_is_kept_in_docs():
    demo = json.loads(text("docs/demo.json"))
    for name in READMES:
        page = text(name)
        for value in (demo["mean_minimal"], demo["mean_baseline"], demo["mean_similarity"]):
            assert f"{100 * value:.0f}" in page, (name, value)


def test_no_document_or_kept_report_names_a_folder_of_the_machine_that_made_it():
    for file in sorted((ROOT / "docs").rglob("*")):
        if file.suffix in (".md", ".json"):
            paths = re.findall(r"(?<![\w.])/(?:tmp|work|root|home)/[\w.-]+/[\w./-]*", file.read_text(encoding="utf-8"))
            assert not paths, (file.name, paths[:3])


def test_the_changelog_begins_with_what_is_coming_or_with_this_version():
    first = re.search(r"^## \[(.+?)\]", text("CHANGELOG.md"), re.MULTILINE)
    assert first and first[1] in ("Unreleased", VERSION)
