"""Rollouts on a terminal: where one stands, how all went, every verdict of one."""

from datetime import datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

Document = dict[str, Any]


def standing_page(document: Document) -> RenderableType:
    """Return the page of `everfeed canary status` and `watch`."""
    champion, rollout = document["champion"], document["rollout"]
    lines: list[RenderableType] = [
        f"champion: version {champion['version']} since {_time(champion['since'])}" if champion else "no champion yet"
    ]
    if rollout is None:
        return Group(*lines, *_nothing_active(document))
    return Group(*lines, *_headline(rollout), _limits(rollout), Text(_say(rollout)))


def history_page(document: Document) -> RenderableType:
    """Return the page of `everfeed canary history`."""
    champions = Table("since", "version", "bundle", "by", "why", title="champions")
    for known in document["champions"]:
        champions.add_row(
            _time(known["since"]),
            str(known["version"]),
            known["digest"][:12],
            escape(known["by"]),
            escape(known["reason"]),
        )
    rollouts = Table("began", "rollout", "version", "state", "share", "ended", title="rollouts")
    for known in document["rollouts"]:
        end = known["ended_by"]
        ended = f"{_time(end['at'])} by {end['by']}: {end['reason']}" if end else ""
        rollouts.add_row(
            _time(known["created_at"]),
            escape(known["id"]),
            str(known["version"]),
            known["state"].replace("_", " "),
            f"{known['share']:.0%}",
            escape(ended),
        )
    return Group(champions, rollouts)


def champion_page(document: Document) -> RenderableType:
    """Return one line on who was champion at a moment."""
    champion, beside = document["champion"], document["rollout"]
    words = f"At {_time(document['at'])} version {champion['version']} was champion (bundle {champion['digest'][:12]})"
    words += f", since {_time(champion['since'])}, by {champion['by']}: {champion['reason']}"
    if beside:
        words += f"\nRollout {beside['id']} was {beside['state']} at {beside['share']:.0%} beside it."
    return Text(words)


def explanation_page(document: Document) -> RenderableType:
    """Return every verdict of one rollout, and every change."""
    rollout = document["rollout"]
    parts: list[RenderableType] = [Text(f"{rollout['id']}: {rollout['state'].replace('_', ' ')}")]
    for verdict in document["verdicts"]:
        step = "shadow" if verdict["step"] < 0 else f"{rollout['steps'][verdict['step']]:.0%}"
        parts.append(Text(f"\n{_time(verdict['at'])} at {step}: {verdict['words']}"))
        parts.append(Text(_figures(verdict), style="dim"))
    changes = Table("at", "state", "share", "by", "why", title="changes")
    for change in document["transitions"]:
        state = change["state"].replace("_", " ")
        changes.add_row(
            _time(change["at"]), state, f"{change['share']:.0%}", escape(change["by"]), escape(change["reason"])
        )
    return Group(*parts, changes)


def show(screen: Console, page: RenderableType) -> None:
    """Print a page; figures and ids are left as they are."""
    screen.print(page, highlight=False, soft_wrap=False)


def _nothing_active(document: Document) -> list[RenderableType]:
    last = document["last"]
    if last is None:
        return ["no rollout was ever started; `everfeed run` starts one"]
    end = last["ended_by"]
    state = last["state"].replace("_", " ")
    return [
        "no rollout is active",
        Text(f"the last one, {last['id']}, was {state} at {_time(end['at'])} by {end['by']}: {end['reason']}"),
    ]


def _headline(rollout: Document) -> list[RenderableType]:
    step = "in shadow" if rollout["step"] < 0 else f"step {rollout['step'] + 1} of {len(rollout['steps'])}"
    held = f", held by {rollout['changed_by']}" if rollout["state"] == "held" else ""
    share = f"{rollout['share']:.0%} of users"
    lines: list[RenderableType] = [
        Text(f"rollout {rollout['id']}: {rollout['state']}{held}, {step}, version {rollout['version']} for {share}"),
        Text(f"deadline {_time(rollout['deadline_at'])}; {rollout['looks']} looks{_since(rollout['last_look_at'])}"),
    ]
    shadow, users, verdict = rollout["shadow"], rollout["users"], rollout["verdict"]
    if shadow:
        lines.append(
            f"{shadow['requests']:,} requests answered unseen, overlap {shadow['overlap_mean']:.1%}, "
            f"{shadow['errors']:,} errors"
        )
        return lines
    lines.append(
        f"users: {users['canary']:,} canary, {users['control']:,} control; with matured impressions "
        f"{verdict['users_canary']:,} and {verdict['users_control']:,}"
    )
    if verdict["relative"] is not None:
        lines.append(f"estimate {verdict['relative']:+.1%}{_between(verdict)}")
    return lines


def _limits(rollout: Document) -> Table:
    table = Table("rule", "figure", "now", "fires at", "", title="nearest first")
    for limit in rollout["limits"]:
        is_bound = limit["figure"] != "e-value"
        value, fires = (_bound(limit[key]) if is_bound else _e_value(limit[key]) for key in ("value", "limit"))
        bar = "█" * round(10 * limit["nearness"])
        style = "green" if limit["is_good"] else "red"
        table.add_row(limit["rule"], limit["figure"], value, fires, f"[{style}]{bar:10}[/]")
    return table


def _say(rollout: Document) -> str:
    nearest = rollout["next_rule"]
    near = f"Nearest to ending it: {nearest['rule']}. " if nearest else "Nothing speaks against it. "
    return f"{near}Judged now, not recorded: {rollout['verdict']['words']}"


def _figures(verdict: Document) -> str:
    users = f"n {verdict['users_canary']:,} canary, {verdict['users_control']:,} control"
    bounds = f"estimate {_number(verdict['estimate'])} [{_number(verdict['lower'])}, {_number(verdict['upper'])}]"
    values = ", ".join(f"{name} {_e_value(value)}" for name, value in sorted(verdict["e_values"].items()))
    return f"  {users}; {bounds}; e-values: {values or 'none'}; rule {verdict['rule']}"


def _between(verdict: Document) -> str:
    if verdict["relative_lower"] is None or verdict["relative_upper"] is None:
        return ", not read yet"
    return f", at any number of looks between {verdict['relative_lower']:+.1%} and {verdict['relative_upper']:+.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def _bound(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1%}"


def _e_value(value: float) -> str:
    return f"{value:,.2g}" if value < 10 else f"{value:,.0f}" if value < 1e6 else f"{value:.0e}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _since(moment: datetime | None) -> str:
    return f", the last at {_time(moment)}" if moment else ""
