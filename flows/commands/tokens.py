"""`everfeed tokens`: who may look at the control room and who may change what it shows."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.clock import utc_now
from flows.commands.audited import audited
from flows.commands.common import answer, read_settings, screen
from flows.options import AsJson
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.access import AccessTokens, TokenRecord

app = typer.Typer(name="tokens", help="Access tokens: who may look, and who may change.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Whose token: ana, grafana-eu; the audit log names them so.")]
RoleName = Annotated[str, typer.Option("--role", help="viewer looks, service also sends feedback, operator changes.")]
Days = Annotated[int | None, typer.Option(help="Days until it ends; left out, it lives until it is revoked.")]


@app.callback()
def group() -> None:
    """Access tokens: who may look, and who may change."""


@app.command()
def add(name: Name, role: RoleName, days: Days = None, as_json: AsJson = False) -> None:
    """Make a token and show it once: only its digest is kept."""
    from infra.access import Role

    known = [str(one) for one in Role]
    if role not in known:
        raise typer.BadParameter(f"{role!r} is no role. Known: {', '.join(known)}.", param_hint="--role")
    settings = read_settings()
    with audited(settings, "tokens add", name, f"as {role}{f' for {days} days' if days else ''}"):
        store = _store(settings)
        token = store.add(name, Role(role), now=utc_now(), days=days)
    made = store.tokens()[0]
    if not as_json:
        screen.print(f"{name} is {role}{_ending(made)}. The token, which is not shown again:", highlight=False)
        screen.print(token, markup=False, highlight=False, soft_wrap=True)
    answer(_document(made) | {"token": token}, as_json=as_json)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show every token that was made, the newest first, and which still open anything."""
    found = _store(read_settings()).tokens()
    if not as_json:
        for one in found:
            words = f"{one.name}: {one.role}, made {one.created_at:%Y-%m-%d %H:%M} UTC{_ending(one)}"
            screen.print(words, markup=False, highlight=False, soft_wrap=True)
        screen.print("The write token of the home is an operator's, by the name of owner.", highlight=False)
    answer([_document(one) for one in found], as_json=as_json)


@app.command()
def revoke(name: Name, as_json: AsJson = False) -> None:
    """End a token now; gateways and control rooms refuse it within 5 seconds."""
    settings = read_settings()
    now = utc_now()
    with audited(settings, "tokens revoke", name):
        _store(settings).revoke(name, now=now)
    if not as_json:
        screen.print(f"The token of {name} is revoked.", markup=False, highlight=False)
    answer({"name": name, "revoked_at": now}, as_json=as_json)


def _store(settings: Settings) -> "AccessTokens":
    from infra.access import AccessTokens
    from infra.database import open_database

    return AccessTokens(open_database(settings.database), master=settings.token())


def _document(record: "TokenRecord") -> dict[str, Any]:
    return {
        "name": record.name,
        "role": str(record.role),
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "revoked_at": record.revoked_at,
        "is_valid": record.is_valid(now=utc_now()),
    }


def _ending(record: "TokenRecord") -> str:
    if record.revoked_at is not None:
        return f", revoked {record.revoked_at:%Y-%m-%d %H:%M} UTC"
    if record.expires_at is None:
        return ""
    verb = "until" if record.is_valid(now=utc_now()) else "ended"
    return f", {verb} {record.expires_at:%Y-%m-%d %H:%M} UTC"
