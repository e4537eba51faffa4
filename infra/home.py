"""What lies where in a home, the one folder that holds all state, and the secrets in it."""

import re
import secrets
from abc import abstractmethod
from pathlib import Path


class HomeFolder:
    """Places below `root`."""

    @property
    @abstractmethod
    def root(self) -> Path:
        """The home, absolute."""

    @property
    def artifacts(self) -> Path:
        """Folder of MLflow's artifacts."""
        return self.root / "artifacts"

    @property
    def bundles(self) -> Path:
        """Folder of the bundles, one folder a digest."""
        return self.root / "bundles"

    @property
    def runs(self) -> Path:
        """Folder of training runs: checkpoints, and which bundle came of them."""
        return self.root / "runs"

    @property
    def searches(self) -> Path:
        """Folder of searches for hyper-parameters: open trials' checkpoints, and the best recipe."""
        return self.root / "searches"

    @property
    def recipes(self) -> Path:
        """The recipes of the last run, which the daily lifecycle trains again."""
        return self.root / "recipes.json"

    @property
    def covariates(self) -> Path:
        """Folder of users' own rates before the active rollout, one file a rollout."""
        return self.root / "covariates"

    @property
    def reports(self) -> Path:
        """Folder of data docs and drift reports."""
        return self.root / "reports"

    @property
    def figures(self) -> Path:
        """The newest daily figures of the monitor, with their bands."""
        return self.root / "figures.json"

    @property
    def drift_workspace(self) -> Path:
        """Folder of the Evidently workspace."""
        return self.reports / "evidently"

    @property
    def receipts(self) -> Path:
        """Folder of the receipts of erasures, one JSON file each."""
        return self.root / "receipts"

    @property
    def logs(self) -> Path:
        """Folder of the services' logs."""
        return self.root / "logs"

    @property
    def channels_file(self) -> Path:
        """The alert channels, where `channels` does not name them."""
        return self.root / "channels.json"

    @property
    def downloads(self) -> Path:
        """Folder of data sets fetched from the package index."""
        return self.root / "downloads"

    def secret_file(self, name: str) -> Path:
        """Return where a secret of a person's own is kept, so that settings name it instead of holding it.

        Raises:
            ValueError: The name is not made of letters, digits, dots, dashes and underscores alone.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", name):
            raise ValueError(f"{name!r} is no name of a secret: letters, digits, dots, dashes and underscores alone.")
        return self.root / "secrets" / name

    def keep_secret(self, name: str, value: str) -> None:
        """Keep a secret under a name (mode 0600), in place of what was kept there.

        Raises:
            ValueError: The name cannot be one.
        """
        path = self.secret_file(name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.parent / f".{name}.{secrets.token_hex(4)}"
        partial.touch(mode=0o600)
        partial.write_text(value)
        partial.replace(path)

    def _secret(self, name: str) -> str:
        folder = self.root / "secrets"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / name
        if not path.exists():
            partial = folder / f".{name}.{secrets.token_hex(4)}"
            partial.touch(mode=0o600)
            partial.write_text(secrets.token_urlsafe(32))
            try:
                path.hardlink_to(partial)
            except FileExistsError:
                pass  # another process made it first; its value is the one
            finally:
                partial.unlink()
        return path.read_text().strip()
