"""A report page taken apart, and a hostile text that must stay a text in it."""

from __future__ import annotations

from html.parser import HTMLParser

EVIL = '"><img src=x onerror="document.title=1"><script>document.title=2</script>'


class Elements(HTMLParser):
    """Every tag with its attributes, and the visible text."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._silent = 0
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._silent += tag in ("style", "title", "desc")

    def handle_endtag(self, tag):
        self._silent -= tag in ("style", "title", "desc")

    def handle_data(self, data):
        if not self._silent:
            self.text += data
