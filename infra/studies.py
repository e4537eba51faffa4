"""Searches as Optuna keeps them: every trial with its values and how it went, in tables, so that a killed one goes on.

Optuna's relational storage holds numbers and JSON. Its journal keeps pickles, which is why it is not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import JsonValue
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from recmodels.errors import StoreError
from recmodels.search import Choice, Dimension, Int, Log, PrunerConfig, SearchConfig

if TYPE_CHECKING:  # it takes most of a second to import, which only a search is to pay
    import optuna

_WORDS: Final = "everfeed.words"
_BASE: Final = "everfeed.base"
_WAIT_SECONDS: Final = 30.0
_REDUCTION: Final = 3


class TrialState(StrEnum):
    """How a trial stands."""

    OPEN = "open"
    """Not yet begun, being trained, or interrupted."""
    COMPLETE = "complete"
    PRUNED = "pruned"
    """Given up after some epochs, since others were better by then."""
    FAILED = "failed"


@dataclass(frozen=True)
class TrialRecord:
    """A trial as it is kept.

    Attributes:
        number: Counted from 0.
        state: How it stands.
        values: What it tries, by dotted field of the recipe.
        objective: Of the best epoch where it is complete, of the last where it was pruned; None otherwise.
        by_epoch: Validation ndcg_at_10 after each epoch.
        words: Why it failed or was given up.
        is_base: It is the search's own recipe.
    """

    number: int
    state: TrialState
    values: Mapping[str, JsonValue]
    objective: float | None
    by_epoch: Mapping[int, float]
    words: str
    is_base: bool = False


class StudyStore:
    """The searches of one home.

    Args:
        url: SQLAlchemy URL of tables that belong to Optuna alone.
        prefix: What the names of the home's studies begin with, where the tables are shared.
    """

    def __init__(self, url: str, *, prefix: str = "") -> None:
        self._url = url
        self._prefix = prefix

    def open(self, key: str, search: SearchConfig) -> Study:
        """Return the study of this key, making it at the first call.

        Raises:
            StoreError: The tables are damaged, locked, or of a newer Optuna.
        """
        import optuna

        with _explained(self._url):
            study = optuna.create_study(
                study_name=f"{self._prefix}{key}",
                storage=self._storage,
                pruner=_pruner(search.pruner, most=search.recipe.trainer.epochs),
                direction="maximize",
                load_if_exists=True,
            )
            if search.first_values and not study.get_trials(deepcopy=False):
                study.enqueue_trial(search.first_values, user_attrs={_BASE: True})
            return Study(study, search, self._url)

    @cached_property
    def _storage(self) -> optuna.storages.RDBStorage:
        import optuna

        optuna.logging.disable_default_handler()  # which would print a line a trial on standard error
        optuna.logging.enable_propagation()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        is_sqlite = self._url.startswith("sqlite")
        options = {"connect_args": {"timeout": _WAIT_SECONDS}} if is_sqlite else {"pool_pre_ping": True}
        return optuna.storages.RDBStorage(self._url, engine_kwargs=options)


class Study:
    """The trials of one search, made one after another; what is tried follows from the seed and the earlier trials."""

    def __init__(self, study: optuna.Study, search: SearchConfig, url: str) -> None:
        self._study = study
        self._search = search
        self._url = url

    def trials(self) -> tuple[TrialRecord, ...]:
        """Return every trial in its order."""
        with _explained(self._url):
            return tuple(_record(trial) for trial in self._study.get_trials(deepcopy=False))

    def begin(self, number: int) -> OpenTrial:
        """Return the trial of this number with all of its values, making it where it is the next.

        A trial that was interrupted stays the trial that it was: none is lost, none counts twice.
        """
        with _explained(self._url):
            trial = self._attach(number)
            self._study.sampler = _sampler(self._search.seed, number, 0)
            together = trial.relative_params  # now, by this sampler; they would be drawn at the first field that lacks
            for position, (path, dimension) in enumerate(self._search.space.items(), 1):
                if path not in together:
                    self._study.sampler = _sampler(self._search.seed, number, position)
                _suggest(trial, path, dimension)
            return OpenTrial(self._study, trial, _record(self._study.get_trials(deepcopy=False)[number]), self._url)

    def _attach(self, number: int) -> optuna.Trial:
        """Return a trial to go on with; `Study.ask` begins a new one only."""
        import optuna

        trials = self._study.get_trials(deepcopy=False)
        assert number <= len(trials), f"trial {number} of {len(trials)} is begun before those in front of it"
        if number == len(trials) or trials[number].state == optuna.trial.TrialState.WAITING:
            asked = self._study.ask()
            assert asked.number == number, f"trial {asked.number} was begun in place of {number}"
            return asked
        return optuna.Trial(self._study, trials[number]._trial_id)


class OpenTrial:
    """A trial on its way.

    Attributes:
        record: As it was kept when it was begun, or gone on with.
    """

    def __init__(self, study: optuna.Study, trial: optuna.Trial, record: TrialRecord, url: str) -> None:
        self.record = record
        self._study = study
        self._trial = trial
        self._url = url
        self._last_epoch = max(record.by_epoch, default=0)

    @property
    def number(self) -> int:
        """Counted from 0."""
        return self.record.number

    @property
    def last_epoch(self) -> int:
        """The last one that was told of, before an interruption too; 0 before the first."""
        return self._last_epoch

    def report(self, epoch: int, value: float) -> None:
        """Keep what an epoch reached; one that was told of stays as it was."""
        if epoch <= self._last_epoch:
            return
        with _explained(self._url):
            self._trial.report(value, epoch)
        self._last_epoch = epoch

    def is_hopeless(self) -> bool:
        """Say whether to give it up, judged by the last epoch that was told of."""
        with _explained(self._url):
            return self._trial.should_prune()

    def end(self, state: TrialState, *, objective: float | None = None, words: str = "") -> None:
        """End it.

        Args:
            state: How it ended.
            objective: Of a complete trial.
            words: Why it was given up or failed.
        """
        from optuna.trial import TrialState as OptunaState

        states = {
            TrialState.COMPLETE: OptunaState.COMPLETE,
            TrialState.PRUNED: OptunaState.PRUNED,
            TrialState.FAILED: OptunaState.FAIL,
        }
        with _explained(self._url):
            self._trial.set_user_attr(_WORDS, words)
            self._study.tell(self._trial, objective, state=states[state])


def _pruner(config: PrunerConfig, *, most: int) -> optuna.pruners.BasePruner:
    import optuna

    if config.kind == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=config.startup_trials, n_warmup_steps=config.warmup_epochs)
    if config.kind == "hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=config.warmup_epochs,
            max_resource=max(most, config.warmup_epochs),
            reduction_factor=_REDUCTION,
        )
    return optuna.pruners.NopPruner()


def _sampler(seed: int, number: int, position: int) -> optuna.samplers.BaseSampler:
    """Return a sampler that draws the same for a trial's field whether or not the process died before it."""
    import optuna

    drawn = np.random.SeedSequence([seed, number, position]).generate_state(1)[0]
    return optuna.samplers.TPESampler(seed=int(drawn), constant_liar=False)  # that would see the trial itself


def _suggest(trial: optuna.Trial, path: str, dimension: Dimension) -> None:
    if isinstance(dimension, Choice):
        trial.suggest_categorical(path, dimension.values)
    elif isinstance(dimension, Int):
        trial.suggest_int(path, dimension.low, dimension.high, step=dimension.step, log=dimension.log)
    else:
        trial.suggest_float(path, dimension.low, dimension.high, log=isinstance(dimension, Log))


def _record(trial: optuna.trial.FrozenTrial) -> TrialRecord:
    states = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAIL": TrialState.FAILED}
    return TrialRecord(
        number=trial.number,
        state=states.get(trial.state.name, TrialState.OPEN),
        values=dict(trial.params),
        objective=trial.value,
        by_epoch=dict(sorted(trial.intermediate_values.items())),
        words=str(trial.user_attrs.get(_WORDS, "")),
        is_base=_BASE in trial.user_attrs,
    )


@contextmanager
def _explained(url: str) -> Iterator[None]:
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:  # the last: tables of another version
        shown = make_url(url).render_as_string(hide_password=True)
        raise StoreError(
            f"the searches at {shown} cannot be used: {error}. If they are locked, try again; otherwise move them away "
            "to start over."
        ) from error
