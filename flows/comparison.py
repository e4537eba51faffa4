"""All models of one snapshot side by side, where MLflow shows them: a description, a page, a link."""

import json
from collections.abc import Sequence
from html import escape
from typing import Final
from urllib.parse import quote

from flows.references import Candidate
from recmodels.evaluation.record import Evaluation

METRICS: Final = ("ndcg_at_10", "recall_at_10", "coverage_at_10")
"""What is compared, the deciding one first."""


def compare_link(base: str, experiment_id: str, run_ids: Sequence[str]) -> str:
    """Return the address of MLflow's own comparison of some runs: parameters, metrics and charts side by side.

    Args:
        base: Address of the MLflow UI.
        experiment_id: Of the runs.
        run_ids: Which ones.
    """
    return (
        f"{base}/#/compare-runs?runs={quote(json.dumps(list(run_ids), separators=(',', ':')))}"
        f"&experiments={quote(json.dumps([experiment_id], separators=(',', ':')))}"
    )


def comparison_note(candidates: Sequence[Candidate], link: str, *, base: str) -> str:
    """Return the comparison as Markdown, the best on validation first.

    Args:
        candidates: The models of one snapshot.
        link: Of MLflow's own comparison.
        base: Address of the MLflow UI.
    """
    names = " | ".join(f"test {name.replace('_at_', '@')}" for name in METRICS)
    lines = [
        f"[Compare these runs]({link}): parameters, metrics and charts side by side.",
        "",
        f"| model | validation ndcg@10 | {names} | s |",
        "|---|---|" + "---|" * len(METRICS) + "---|",
    ]
    for one in _ordered(candidates):
        name = f"[{one.recipe.name}]({base}/#/runs/{one.run_id})"
        cells = [name, f"{one.validation['ndcg_at_10']:.4f}", *_figures(one), f"{one.seconds:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "In brackets: the 95 % interval over users. The model that is best on validation meets the gate."]
    return "\n".join(lines)


def comparison_page(candidates: Sequence[Candidate], link: str) -> str:
    """Return the comparison as a page without scripts and without requests, with a bar and its interval a model."""
    ordered = _ordered(candidates)
    widest = max((_bounds(one, METRICS[0])[2] for one in ordered), default=0.0) or 1.0
    rows = "".join(_row(one, widest) for one in ordered)
    head = "".join(f"<th>test {name.replace('_at_', '@')}</th>" for name in METRICS)
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Models of one snapshot</title>"
        "<style>body{font:14px system-ui;margin:2em;color-scheme:light dark}td,th{padding:.3em .8em;text-align:left}"
        "</style><h1>Models of one snapshot</h1>"
        f"<p><a href='{escape(link, quote=True)}'>Compare these runs in MLflow</a></p>"
        f"<table><tr><th>model</th><th>validation ndcg@10</th>{head}<th>test ndcg@10, 95 % interval</th></tr>{rows}"
        "</table></html>"
    )


def _ordered(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda one: -one.validation["ndcg_at_10"])


def _figures(candidate: Candidate) -> list[str]:
    intervals = Evaluation.load(candidate.evaluation).intervals
    texts = []
    for name in METRICS:
        text = f"{candidate.metrics[name]:.4f}"
        if name in intervals:
            text += f" ({intervals[name].lower:.4f} to {intervals[name].upper:.4f})"
        texts.append(text)
    return texts


def _bounds(candidate: Candidate, name: str) -> tuple[float, float, float]:
    """Return the lower bound, the figure and the upper bound."""
    value = candidate.metrics[name]
    interval = Evaluation.load(candidate.evaluation).intervals.get(name)
    return (interval.lower, value, interval.upper) if interval else (value, value, value)


def _row(candidate: Candidate, widest: float) -> str:
    lower, value, upper = (300 * figure / widest for figure in _bounds(candidate, METRICS[0]))
    chart = (
        f"<svg width='310' height='16' role='img' aria-label='{candidate.metrics[METRICS[0]]:.4f}'>"
        f"<rect width='{value:.1f}' height='16' fill='#5b8def'/>"
        f"<line x1='{lower:.1f}' x2='{upper:.1f}' y1='8' y2='8' stroke='currentColor' stroke-width='2'/></svg>"
    )
    cells = [f"{candidate.validation['ndcg_at_10']:.4f}", *_figures(candidate)]
    name = escape(candidate.recipe.name)
    return f"<tr><td>{name}</td>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}<td>{chart}</td></tr>"
