"""The verbs. Every heavy import waits until its command runs."""

import logging
import signal
import sys
from collections.abc import Callable
from threading import Event
from typing import Annotated, Any, NoReturn

import typer

from flows.commands import (
    alerts,
    analyze,
    audit,
    audit_log,
    backup,
    canary,
    compare,
    deploy,
    doctor,
    forget,
    gc,
    init,
    pyfunc,
    quarantine,
    retrains,
    retune,
    tokens,
    tune,
    upgrade,
    validate,
)
from flows.commands.common import answer, read_settings, screen
from flows.options import (
    AsJson,
    DataPath,
    Label,
    Options,
    Overrides,
    Presets,
    Recipes,
    Replaces,
    Source,
    SuiteFiles,
    WarmStart,
    pairs,
)
from infra.settings import Settings
from recmodels.errors import EverfeedError

app = typer.Typer(
    name="everfeed",
    help="A managed life for recommender models: validate, train, evaluate, register, canary, monitor, retrain.\n\n"
    "Start with `everfeed demo`. All state lives in one folder: .everfeed, or EVERFEED_HOME.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)

for group in (canary, quarantine, alerts, retrains, tokens):
    app.add_typer(group.app)

_RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


@app.command()
def demo(
    leave: Annotated[
        bool, typer.Option("--exit", help="Stop when the lifecycle is done instead of staying up.")
    ] = False,
    as_json: AsJson = False,
    webhook: Annotated[str, typer.Option(help="Also send the demo's alert to this http(s) address.")] = "",
    sample: Annotated[float, typer.Option(help="Share of the users to use, from 0 to 1.", min=0.01, max=1.0)] = 1.0,
    visitors: Annotated[int, typer.Option(help="Most resampled visitors that a canary meets.", min=100)] = 20_000,
) -> None:
    """Run the whole lifecycle on the real ML-100K, then leave everything up until Ctrl-C.

    The second act shows a bad model: the gate refuses it and, forced through, the canary rolls it back. Then traffic
    shifts, and an alert arrives.
    """
    settings = read_settings()
    from flows.demo import run_demo

    summary = run_demo(
        settings, screen=screen, webhook=webhook, sample=sample, visitors=visitors, on_done=None if leave else _stay
    )
    answer(summary, as_json=as_json)


@app.command()
def run(
    source: Source = "",
    path: DataPath = None,
    option: Options = [],  # noqa: B006 - typer copies it
    name: Annotated[str, typer.Option(help="Call the data set this instead of the source's own name.")] = "",
    preset: Presets = [],  # noqa: B006 - the same
    recipe: Recipes = [],  # noqa: B006 - the same
    override: Overrides = [],  # noqa: B006 - the same
    label: Label = "",
    replace: Replaces = False,
    suite: SuiteFiles = [],  # noqa: B006 - the same
    warm_start: WarmStart = False,
    traffic: Annotated[str, typer.Option(help="Who the new model meets: replay (held-out users) or live.")] = "replay",
    visitors: Annotated[
        int | None, typer.Option(help="Most resampled visitors that the canary meets; 20,000 if left out.", min=100)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the lifecycle on your own data: ingest, validate, train, evaluate, register, canary, monitor.

    Started again after an interruption, it goes on where it stopped: what is finished is found by its key. In a
    project, what is left out is what `[run]` in its everfeed.toml says.
    """
    settings = read_settings()
    from flows.run_defaults import filled
    from flows.runs import RunRequest, run_lifecycle

    request = RunRequest(
        source=source,
        options=pairs(option),
        name=name,
        presets=tuple(preset),
        recipes=tuple(recipe),
        overrides=tuple(override),
        is_warm=warm_start,
        label=label,
        traffic=traffic,
        replaces=replace,
        suites=tuple(suite),
    )
    request = filled(settings, request, path=path, visitors=visitors)
    answer(run_lifecycle(settings, request, screen=screen), as_json=as_json)


app.command()(init.init)
app.command()(pyfunc.pyfunc)
app.command()(deploy.deploy)
app.command()(tune.tune)
app.command()(retune.retune)
app.command()(validate.validate)
app.command()(compare.compare)
app.command()(audit.audit_leakage)
app.command()(audit_log.audit_log)
app.command()(analyze.analyze)
app.command()(forget.forget)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(gc.gc)
app.command()(doctor.doctor)
app.command()(upgrade.upgrade)


@app.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return once everything answers.")] = False,
    silent: Annotated[bool, typer.Option("--silent", hidden=True, help="Do not show the status at the start.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start Prefect, MLflow, the gateway, the control room and the schedules; stay until Ctrl-C."""
    settings = read_settings()
    from flows.services import late_services, require_database, stack_services, start_detached
    from infra.readiness import notify
    from infra.supervisor import running

    if detach:
        start_detached(settings)
        answer(_status(settings), as_json=as_json)
        return
    require_database(settings)
    with running(settings, stack_services(settings), on_ready=_say_ready) as stack:
        for service in late_services(settings):
            stack.add(service)
        if not silent:
            _answer_status(as_json=as_json)
        notify(settings.notify_socket, "READY=1")
        _wait_for_signal(on_second=stack.watch)
        notify(settings.notify_socket, "STOPPING=1")


@app.command()
def down(as_json: AsJson = False) -> None:
    """Stop everything that `up` or `demo` started over this home."""
    settings = read_settings()
    from infra.processes import take_down

    stopped = take_down(settings)
    if not as_json:
        screen.print("Everything is stopped." if stopped else f"Nothing was running over {settings.root}.")
    answer({"stopped": stopped}, as_json=as_json)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show which services run, who serves, and what is on its way."""
    answer(_status(read_settings()), as_json=as_json)


@app.command()
def recommend(
    user: Annotated[str, typer.Argument(help="User id as in your data; an unknown user gets popular items.")],
    k: Annotated[int, typer.Option("-k", help="Number of items.", min=1, max=200)] = 10,
    surface: Annotated[str, typer.Option(help="Surface: video, live, search, or a name of your own.")] = "video",
    as_json: AsJson = False,
) -> None:
    """Ask the gateway what it would show to a user."""
    settings = read_settings()
    from flows.recommend import ask, print_items

    found = ask(settings, user, k=k, surface=surface)
    if not as_json:
        print_items(screen, found)
    answer(found, as_json=as_json)


@app.command()
def fetch(as_json: AsJson = False) -> None:
    """Download the demo's data set, and show its terms."""
    settings = read_settings()
    from flows.datasets import fetch_ml_100k
    from recmodels.data.sources.movielens import TERMS

    found = fetch_ml_100k(settings)
    if not as_json:
        screen.print(f"{found}\n{TERMS}")
    answer({"path": str(found), "terms": TERMS}, as_json=as_json)


def main() -> NoReturn:
    """Run the command line; an error that the caller can fix ends with its message and exit code 2."""
    log_warnings()
    try:
        app()
    except EverfeedError as error:
        screen.print(f"[red]error[/] {type(error).__name__}", highlight=False)
        screen.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    sys.exit(0)


def log_warnings() -> None:
    """Show warnings on the terminal, except the lines of flow and task runs: those are in the Prefect UI.

    A run's error reaches `main` as an exception as well, where its message is shown without a traceback.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: not record.name.startswith(_RUN_LOGGERS))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _status(settings: Settings) -> dict[str, Any]:
    from flows.status import describe, print_status

    document = describe(settings)
    print_status(screen, document)
    return document


def _answer_status(*, as_json: bool) -> None:
    """Show the status from a process of its own: this one stays, and need not keep the libraries of every store."""
    import subprocess

    command = (sys.executable, "-m", "flows.cli", "status", *(["--json"] if as_json else []))
    subprocess.run(command, check=False)  # noqa: S603 - our own command line


def _say_ready(name: str) -> None:
    screen.print(f"  {name} is ready")


def _stay(watch: Callable[[], None]) -> None:
    screen.print("\nEverything stays up until Ctrl-C.")
    _wait_for_signal(on_second=watch)


def _wait_for_signal(on_second: Callable[[], None]) -> None:
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(1.0):
        on_second()


if __name__ == "__main__":
    main()
