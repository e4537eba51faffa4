"""Data Docs that can be read without a network: pages of Great Expectations, freed of whatever they would fetch."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from jinja2 import Environment

from monitoring.checkpoint import Checked

_DROPPED: Final = frozenset({"script", "style", "nav", "footer", "button", "iframe", "object", "noscript"})
_DROPPED_VOID: Final = frozenset({"link", "img", "meta", "input", "embed", "source"})
_VOID: Final = _DROPPED_VOID | {"br", "hr", "wbr", "col", "area", "base", "param", "track"}
_HEAD: Final = """
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
"""
_HOME: Final = '<p><a href="index.html">All tables</a></p>'
STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #c62828; --odd: #b26a00; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1.5rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top; }
ul { margin: .2rem 0; padding-left: 1.2rem; }
code { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85em; }
.passed, .text-success { color: var(--good); } .failed, .text-danger { color: var(--bad); }
.text-warning { color: var(--odd); }
.fa-check-circle::before { content: "\\2713"; } .fa-times::before { content: "\\2717"; }
.fa-exclamation-triangle::before { content: "!"; }
.badge { border: 1px solid var(--line); border-radius: .3rem; padding: 0 .3rem; font-family: ui-monospace, monospace; }
.alert { border-left: 4px solid var(--line); padding: .3rem .8rem; margin-top: 1.5rem; }
.sticky, .collapse, .modal, .cooltip .top { display: none; } .collapse:target { display: block; }
"""
_INDEX: Final = """<!DOCTYPE html>
<html lang="en"><head>{{ head }}<title>Data Docs</title><style>{{ style }}</style></head><body>
<h1>Data Docs</h1>
<p>Validated at {{ now }}. Rows that break a row-level rule are quarantined and the others go on;
a failed table-level expectation stops the lifecycle before training.</p>
<table>
<tr><th>Table</th><th>Verdict</th><th>Rows</th><th>Quarantined</th><th>Results</th></tr>
{% for s in summaries %}<tr>
<td><a href="#{{ s.table }}">{{ s.table }}</a></td>
<td class="{{ 'passed' if s.passed else 'failed' }}">{{ 'may be trained on' if s.passed else 'stopped' }}</td>
<td>{{ s.rows }}</td><td>{{ s.quarantined }}</td>
<td>{% for page in pages[s.table] %}<a href="{{ page.name }}.html">{{ page.part }}</a>
(<span class="{{ 'failed' if page.failed else 'passed' }}">{{ page.passed }} of {{ page.checks }}</span>,
<a href="{{ page.name }}.json">JSON</a>) {% endfor %}</td>
</tr>{% endfor %}
</table>
{% for s in summaries %}<h2 id="{{ s.table }}">{{ s.table }}</h2>
{% if s.failures %}<p class="failed">What stopped it:</p>
<ul>{% for line in s.failures %}<li>{{ line }}</li>{% endfor %}</ul>{% endif %}
{% if s.warnings %}<p>To know:</p><ul>{% for line in s.warnings %}<li>{{ line }}</li>{% endfor %}</ul>{% endif %}
{% if not s.failures and not s.warnings %}<p class="passed">Every expectation was met by every row.</p>{% endif %}
{% endfor %}
</body></html>
"""


@dataclass(frozen=True)
class Summary:
    """What the first page says about one table.

    Attributes:
        table: Name of the table.
        passed: Whether it may be trained on.
        rows: How many rows were given.
        quarantined: How many of them are in the quarantine.
        failures: What stopped it, one sentence each.
        warnings: What should be known beside it, one sentence each.
    """

    table: str
    passed: bool
    rows: int
    quarantined: int
    failures: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Page:
    name: str
    part: str
    passed: int
    checks: int

    @property
    def failed(self) -> int:
        return self.checks - self.passed


def publish(
    site: Path, folder: Path, *, checked: Sequence[Checked], summaries: Sequence[Summary], now: datetime
) -> Path:
    """Write the Data Docs: one page and one JSON a batch, then the index that links them.

    Args:
        site: Data Docs as Great Expectations built them.
        folder: Where they go; files of the same names are replaced, each at once.
        checked: The results that the site shows.
        summaries: One entry a table, in the order of the index.
        now: When the validation ran.

    Returns:
        The index.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pages: dict[str, list[_Page]] = {summary.table: [] for summary in summaries}
    for one in checked:
        (source,) = (site / "validations" / one.batch.name).rglob("*.html")
        _write(folder / f"{one.batch.name}.html", make_offline(source.read_text(encoding="utf-8")))
        _write(folder / f"{one.batch.name}.json", one.record)
        passed = sum(outcome.passed for outcome in one.outcomes)
        pages[one.batch.table].append(_Page(one.batch.name, one.batch.part, passed, len(one.outcomes)))
    index = folder / "index.html"
    template = Environment(autoescape=True).from_string(_INDEX)
    _write(index, template.render(pages=pages, summaries=summaries, now=now.isoformat(timespec="seconds")))
    return index


def make_offline(page: str) -> str:
    """Return a page of Data Docs that asks nothing of a network and needs no script.

    Scripts, style sheets, fonts, images and buttons go, one small style sheet of our own comes in their place. Links
    within the page stay, others become plain text, and one leads back to the index.
    """
    parser = _OfflinePage()
    parser.feed(page)
    parser.close()
    return "".join(parser.parts)


@dataclass
class _OfflinePage(HTMLParser):
    parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self._dropped: list[str] = []

    def handle_decl(self, decl: str) -> None:
        self.parts.append(f"<!{decl}>")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED:
            self._dropped.append(tag)
        if self._dropped or tag in _DROPPED_VOID:
            return
        kept = "".join(f' {name}="{escape(value or "")}"' for name, value in attrs if _is_harmless(name, value))
        self.parts.append(f"<{tag}{kept}>")
        self.parts.append({"head": f"{_HEAD}<style>{STYLE}</style>", "body": _HOME}.get(tag, ""))

    def handle_endtag(self, tag: str) -> None:
        if self._dropped:
            if tag == self._dropped[-1]:
                self._dropped.pop()
        elif tag not in _VOID:
            self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self._keep(data)

    def handle_entityref(self, name: str) -> None:
        self._keep(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._keep(f"&#{name};")

    def _keep(self, text: str) -> None:
        if not self._dropped:
            self.parts.append(text)


def _is_harmless(name: str, value: str | None) -> bool:
    if name == "href":
        return bool(value) and str(value).startswith("#") and value != "#"
    return name in {"id", "class", "colspan", "rowspan", "hidden"}


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
