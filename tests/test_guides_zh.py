"""The guides in Traditional Chinese say what the English ones say: a difference is named by its heading."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
TRANSLATED = ("comfyui", "headless", "performance", "prompt-route", "training", "troubleshooting", "webui")
COMMANDS = re.compile(r"^(modiste|python|torchrun|pip|git) ")
DRAWING = re.compile(r"[─▶●→]")  # a block that is a picture: its words are translated
FIGURE = re.compile(r"\d+(?:[.,]\d+)*|(?<!\d)\.\d+")
SLUG = re.compile(r"[^\w\- ]")


@dataclass
class Section:
    """What stands under one heading."""

    title: str
    level: int
    text: str

    @property
    def blocks(self) -> list[list[str]]:
        """The lines of each code block, without what a comment says."""
        blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", self.text, re.DOTALL | re.MULTILINE)
        kept = [block for block in blocks if not DRAWING.search(block)]
        return [[line.partition("#")[0].rstrip() for line in block.splitlines()] for block in kept]

    @property
    def prose(self) -> str:
        return re.sub(r"^ *```.*?^ *```", "", self.text, flags=re.DOTALL | re.MULTILINE)

    @property
    def code(self) -> set[str]:
        """What is written in backticks: options, files, fields, what a program prints."""
        return set(re.findall(r"`([^`]+)`", self.prose))

    @property
    def figures(self) -> Counter[str]:
        without_links = re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "", self.prose))
        return Counter(FIGURE.findall(re.sub(r"^ *[1-9]\d*\. ", "", without_links, flags=re.MULTILINE)))

    @property
    def shape(self) -> dict[str, int]:
        """How many rows, points, numbered steps and pictures there are."""
        marks = {"rows of tables": r"^\|", "points": r"^- ", "numbered steps": r"^[1-9]\d*\. ", "pictures": r"!\["}
        return {name: len(re.findall(mark, self.prose, re.MULTILINE)) for name, mark in marks.items()}

    @property
    def links(self) -> list[str]:
        """The files that links lead to, in whatever language and folder."""
        targets = re.findall(r"\]\(([^)\s#]*)", self.prose)
        names = [Path(target).name.replace(".zh-TW", "").replace("-zh.", ".") for target in targets]
        return sorted(names)


def sections(page: str) -> list[Section]:
    """A page by its headings; the line that leads to the other language is left out."""
    page = re.sub(r"^\[(繁體中文|English)\]\(.*?\)\n", "", page, count=1, flags=re.MULTILINE)
    parts = re.split(r"^(#+) (.+)\n", without_headings_in_code(page), flags=re.MULTILINE)[1:]
    return [Section(title, len(marks), text) for marks, title, text in zip(*[iter(parts)] * 3, strict=True)]


def without_headings_in_code(page: str) -> str:
    """`# a comment` of a code block begins no section."""
    return re.sub(
        r"^( *```.*?^ *```)", lambda block: re.sub(r"^#", " #", block[1], flags=re.MULTILINE), page, flags=re.S | re.M
    )


def differences(english: str, chinese: str) -> list[str]:
    """Each place where the two pages are out of step, by its English heading."""
    found = []
    for ours, theirs in zip_longest(sections(english), sections(chinese)):
        if ours is None or theirs is None:
            there = ours or theirs
            found.append(f"{there.title!r} stands in {'English' if ours else 'Chinese'} alone")
            break
        if ours.level != theirs.level:
            found.append(f"{ours.title!r} is a heading of level {ours.level}, {theirs.title!r} of {theirs.level}")
        if ours.blocks != theirs.blocks:
            found.append(f"{ours.title!r}: other commands, {ours.blocks} and {theirs.blocks}")
        if ours.code ^ theirs.code:
            found.append(f"{ours.title!r}: in backticks only in one, {sorted(ours.code ^ theirs.code)}")
        missing, extra = ours.figures - theirs.figures, theirs.figures - ours.figures
        if missing or extra:
            found.append(f"{ours.title!r}: figures {dict(missing)} are not in Chinese, {dict(extra)} not in English")
        if ours.shape != theirs.shape:
            found.append(f"{ours.title!r}: {ours.shape} in English, {theirs.shape} in Chinese")
        if ours.links != theirs.links:
            found.append(f"{ours.title!r}: links to {ours.links} and {theirs.links}")
    return found


def text(name: str, language: str = "") -> str:
    return (DOCS / language / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_guide_in_chinese_has_the_headings_commands_figures_tables_and_links_of_the_english_one(name):
    assert differences(text(name), text(name, "zh-TW")) == []


@pytest.mark.parametrize("name", TRANSLATED)
def test_each_guide_leads_to_the_other_language_and_chinese_ones_to_chinese_ones(name):
    assert text(name).splitlines()[2] == f"[繁體中文](zh-TW/{name}.md)"
    page = text(name, "zh-TW")
    assert page.splitlines()[2] == f"[English](../{name}.md)"
    linked = {Path(target).name for target in re.findall(r"\]\((\.\./[^)\s#/]+\.md)", page.partition("\n## ")[2])}
    assert not linked & {f"{other}.md" for other in TRANSLATED}


def test_the_chinese_readme_leads_to_the_chinese_guides():
    page = (ROOT / "README.zh-TW.md").read_text(encoding="utf-8")
    assert {f"docs/zh-TW/{name}.md" for name in TRANSLATED} <= set(re.findall(r"\]\(([^)\s#]+)", page))
    assert not {f"docs/{name}.md" for name in TRANSLATED} & set(re.findall(r"\]\(([^)\s#]+)", page))


PAGES = [*ROOT.glob("README*.md"), *(DOCS / f"{name}.md" for name in TRANSLATED), *(DOCS / "zh-TW").glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_link_into_a_page_names_a_heading_of_it(page):
    for target, anchor in re.findall(r"\]\(([^)\s#]*\.md)?#([^)\s]+)\)", page.read_text(encoding="utf-8")):
        there = (page.parent / target).read_text(encoding="utf-8") if target else page.read_text(encoding="utf-8")
        slugs = {SLUG.sub("", section.title.lower()).replace(" ", "-") for section in sections(there)}
        assert anchor in slugs, f"{target or page.name}#{anchor}"


def test_a_page_that_is_out_of_step_is_named_by_heading_and_figure():
    english = "# A\n\n## Train\n\n```sh\nmodiste tag a/\n```\n\nIt takes 20 photos and `--bind`.\n\n## End\n"
    same = "# 甲\n\n## 訓練\n\n```sh\nmodiste tag a/\n```\n\n需要 20 張照片與 `--bind`。\n\n## 結尾\n"
    assert differences(english, same) == []
    (figure,) = differences(english, same.replace("20", "30"))
    assert "'Train'" in figure and "'20'" in figure and "'30'" in figure
    assert "'Train': other commands" in differences(english, same.replace("tag a/", "tag b/"))[0]
    assert "--bind" in differences(english, same.replace("`--bind`", "綁定"))[0]
    assert differences(english, same.replace("\n## 結尾\n", "")) == ["'End' stands in English alone"]
