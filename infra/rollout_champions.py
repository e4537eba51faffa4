"""Who serves apart from any rollout: the first champion, and the row that gateways poll, written once more."""

from datetime import datetime

from infra.rollout_changes import crown, project
from infra.rollout_reader import RolloutReader
from infra.rollout_records import Champion, ModelReference
from infra.rollout_rows import current_champion
from recmodels.errors import StoreError


class ChampionStore(RolloutReader):
    """The champion, over one database.

    Args:
        database: An open database.
    """

    def set_bootstrap_champion(self, model: ModelReference, *, now: datetime, by: str, reason: str) -> Champion:
        """Make `model` the first champion, without a canary since there is nothing to compare with.

        Doing it again with the same model changes nothing.

        Raises:
            StoreError: Another model is champion already.
        """
        with self._database.begin(lock="rollouts") as connection:
            current = current_champion(connection)
            if current is None:
                crown(connection, model, now=now, by=by, reason=reason, rollout_id=None)
                project(connection, champion=model, rollout=None, now=now)
                current = current_champion(connection)
            assert current is not None
        if current.digest != model.digest:
            raise StoreError(
                f"bundle {model.digest[:12]} cannot become the first champion: version {current.version} serves since"
                f" {current.since.isoformat()}. Start a rollout instead."
            )
        return current

    def reassert(self, *, now: datetime) -> int:
        """Write the row that gateways poll once more, under a new revision; return the revision.

        Who serves stays. A gateway that missed a change, or lost it, takes the row up again.

        Raises:
            StoreError: Nobody serves yet.
        """
        with self._database.begin(lock="rollouts") as connection:
            champion = current_champion(connection)
            if champion is None:
                raise StoreError("nobody serves yet: there is nothing to assert. Release a model first.")
            return project(
                connection, champion=ModelReference(champion.digest, champion.version), rollout=None, now=now
            )
