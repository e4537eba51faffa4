"""The lifecycle as a person starts it in Prefect: the form's choices become data, recipes and terms."""

from pathlib import Path

from prefect import flow

from flows.failures import explained
from flows.forms import DataForm, PolicyForm, RecipeForm
from flows.lifecycle import Data, LifecycleOutcome, lifecycle
from flows.run_defaults import fetched
from flows.runs import RunRequest, chosen_recipes
from flows.wiring import platform

_STANDARD = RecipeForm()
_POLICY = PolicyForm()


@flow(name="run", description="The lifecycle on data of your own, as a form asks for it.", persist_result=False)
@explained("run")
def run(data: DataForm, recipe: RecipeForm = _STANDARD, policy: PolicyForm = _POLICY) -> LifecycleOutcome:
    """Run the lifecycle once.

    Args:
        data: What is read, and how.
        recipe: What is trained.
        policy: How the challenger comes to people.

    Raises:
        RecipeError: An override does not fit a recipe.
        SourceError: The data cannot be read.
    """
    request = RunRequest(
        source=data.source, presets=recipe.presets, label=data.label, overrides=recipe.overrides, own=recipe.recipes
    )
    read = Data(
        source=data.source, path=Path(fetched(platform().settings, data.path)), options=data.options, name=data.name
    )
    return lifecycle(read, chosen_recipes(request), policy.traffic, policy.canary(), cause="form")
