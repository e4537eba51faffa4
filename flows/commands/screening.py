"""`everfeed canary prescreen` and `off-policy`: what is known of a challenger before anybody meets it."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import answer, read_settings, screen
from flows.options import AsJson


def prescreen(
    challenger: Annotated[
        str, typer.Option(help="Digest of a bundle; the active rollout's challenger if left out.")
    ] = "",
    champion: Annotated[str, typer.Option(help="Digest of a bundle; who serves if left out.")] = "",
    k: Annotated[int, typer.Option("-k", help="Length of the lists.", min=1, max=200)] = 10,
    as_json: AsJson = False,
) -> None:
    """Interleave champion and challenger for the held-out users, and say whom they prefer.

    These are recorded choices: an item that was never shown cannot win. Nothing is promoted or refused.
    """
    settings = read_settings()
    from flows.prescreen import PrescreenConfig, screen_now
    from flows.wiring import connect

    found = screen_now(connect(settings), challenger=challenger, champion=champion, config=PrescreenConfig(k=k))
    if not as_json:
        screen.print(f"{found.words}.\n{found.caution}", highlight=False, markup=False)
    answer(found.model_dump(mode="json"), as_json=as_json)


def off_policy(
    log: Annotated[Path, typer.Argument(help="Parquet or CSV file of logged slots; its columns are named above.")],
    as_json: AsJson = False,
) -> None:
    """Estimate what a challenger would earn from a log of explored slots, or say why that cannot be done.

    A row is a slot with user_key, propensity, reward and challenger_probability (of the item that was shown), and,
    where known, unsupported, predicted_reward and predicted_challenger_reward. Slots of propensity 1 are left out.
    """
    from flows.off_policy import estimate_file

    found = estimate_file(log)
    if not as_json:
        screen.print(f"{found['slots']:,} slots, {found['deterministic']:,} of propensity 1 left out", highlight=False)
        for name, estimate in found["estimates"].items():
            words = f"refused: {estimate['words']}" if estimate["is_refused"] else estimate["words"]
            screen.print(words if words.startswith(name) else f"{name}: {words}", highlight=False, markup=False)
    answer(found, as_json=as_json)
