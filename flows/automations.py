"""Automations as examples: what a Prefect server does by itself about runs that fail, or never end.

Everfeed's own alerts are about data and models; these are about the machinery, and a person may change or delete them.
They are written anew by name.
"""

from datetime import timedelta
from typing import Any, Final

from prefect.automations import Automation
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.events.actions import CancelFlowRun, PauseDeployment, SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from infra.settings import Settings

_OURS: Final = ResourceSpecification({"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.everfeed"})
_RUNS: Final = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})
_BLOCK: Final = "everfeed-webhook"
_STUCK_AFTER: Final = timedelta(hours=12)
_FAILURES: Final = 5
_ENDS: Final = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Crashed", "Cancelled")}


async def write_automations(settings: Settings, *, is_dry: bool) -> tuple[str, ...]:
    """Write the examples over those of the same names; return the names.

    The one that notifies is left out where the settings name no webhook.
    """
    wanted = [_stuck(), _failing()]
    url = settings.webhook_url.get_secret_value()
    if url:
        wanted.append(await _told(url, is_dry=is_dry))
    if not is_dry:
        for automation in wanted:
            await _write(automation)
    return tuple(automation.name for automation in wanted)


def _stuck() -> Automation:
    """Cancel a run that has not ended half a day after it began."""
    trigger = EventTrigger(
        match=_RUNS,
        match_related=_OURS,
        for_each={"prefect.resource.id"},
        after={"prefect.flow-run.Running"},
        expect=_ENDS,
        posture=Posture.Proactive,
        threshold=1,
        within=_STUCK_AFTER,
    )
    return Automation(
        name="everfeed: cancel a stuck run",
        description=f"A run that has not ended {_STUCK_AFTER.total_seconds() / 3600:.0f} hours after it began.",
        trigger=trigger,
        actions=[CancelFlowRun()],
    )


def _failing() -> Automation:
    """Pause a deployment that fails again and again."""
    return Automation(
        name="everfeed: pause what keeps failing",
        description=f"A deployment whose runs failed {_FAILURES} times within a day.",
        trigger=_failures(
            {"prefect.resource.id"}, threshold=_FAILURES, within=timedelta(days=1), is_by_deployment=True
        ),
        actions=[PauseDeployment(source="inferred")],
    )


async def _told(url: str, *, is_dry: bool) -> Automation:
    """Post to the webhook of the settings when a run fails, with the message that says which stage, why, what to do."""
    block = CustomWebhookNotificationBlock(
        name=_BLOCK, url=url, json_data={"title": "{{subject}}", "text": "{{body}}", "source": "prefect"}
    )
    if is_dry:
        return Automation(name="everfeed: tell of a failure", trigger=_failures({"prefect.resource.id"}), actions=[])
    block_id = await block.save(_BLOCK, overwrite=True)
    body = "{{ flow.name }}, run {{ flow_run.name }}: {{ flow_run.state.message }}\n{{ flow_run|ui_url }}"
    return Automation(
        name="everfeed: tell of a failure",
        description="A flow run failed or crashed: which stage, why, and what to do.",
        trigger=_failures({"prefect.resource.id"}),
        actions=[SendNotification(block_document_id=block_id, subject="Everfeed: a flow run failed", body=body)],
    )


def _failures(
    for_each: set[str],
    *,
    threshold: int = 1,
    within: timedelta = timedelta(0),
    is_by_deployment: bool = False,
) -> EventTrigger:
    each = {"prefect.related.deployment.prefect.resource.id"} if is_by_deployment else for_each
    return EventTrigger(
        match=_RUNS,
        match_related=_OURS,
        for_each=each,
        expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
        posture=Posture.Reactive,
        threshold=threshold,
        within=within,
    )


async def _write(automation: Automation) -> None:
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        for known in await client.read_automations_by_name(automation.name):
            await client.delete_automation(known.id)
    created: Any = await automation.acreate()
    assert created.id is not None, "a written automation has an id"
