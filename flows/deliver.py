"""Alerts on their way: what is due goes out through its channel, and what fails is tried again later.

`everfeed up` sends all the time by `flows.sender`; this flow is for a run that wants its alerts told before it ends,
and for an installation that runs flows alone.
"""

from concurrent.futures import ThreadPoolExecutor

from prefect import flow, task

from flows.channels import ChannelChoice, open_channels, open_planned, plan_channels, require_no_secrets
from flows.clock import utc_now
from flows.failures import explained
from flows.incidents import check_channels
from flows.sending import sender_lock, senders_of
from flows.wiring import platform
from infra.locks import shared


@flow(name="deliver", description="Send the alerts that are due.", persist_result=False)
@explained("deliver")
def deliver(channels: dict[str, ChannelChoice] | None = None) -> tuple[str, ...]:
    """Send what is due, each channel by itself; each incident's alerts go out in order.

    Args:
        channels: Alert channels by name; those of the settings when left out. Prefect keeps parameters, so a secret in
            them is refused: write ``secret:NAME``.

    Returns:
        The names of the channels that took an alert meanwhile.

    Raises:
        ChannelError: A channel of the parameter cannot be opened, or a secret stands in it. What is wrong in the
            settings is told as an incident instead.
    """
    if channels is not None:
        require_no_secrets(channels)
    return send_due(channels)


@task(name="send alerts")
def send_due(channels: dict[str, ChannelChoice] | None) -> tuple[str, ...]:
    """Try every delivery that is due once; a failure is put off, a refusal is kept with its reason."""
    home, now = platform(), utc_now()
    problems: dict[str, str] = {}
    if channels is None:
        opened, problems = open_planned(plan_channels(home.settings))
    else:
        opened = open_channels(home.settings, channels)
    senders = senders_of(opened, home.outbox)
    with shared(sender_lock(home.settings)), ThreadPoolExecutor(max(1, len(senders))) as pool:
        for ended in [pool.submit(sender.drain) for sender in senders]:
            ended.result()
    for sender in senders:
        sender.close()
    link = home.settings.console_url
    check_channels(home.outbox, list(opened), now=utc_now(), link=link, problems=problems)
    return home.outbox.took_since(now)
