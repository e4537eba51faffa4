"""`everfeed pyfunc`: a version of the model as an MLflow model, for whoever wants MLflow's own tools."""

from dataclasses import dataclass
from pathlib import Path

from flows.wiring import connect
from infra.settings import Settings
from recmodels.errors import StoreError


@dataclass(frozen=True)
class Written:
    """Where the MLflow model of a version is."""

    version: int
    digest: str
    folder: Path


def export(settings: Settings, *, version: int | None, out: Path | None) -> Written:
    """Write a version as an MLflow model.

    Args:
        settings: Of the home.
        version: Of the model; the champion when left out.
        out: A new folder; ``pyfunc/<version>`` in the home when left out.

    Raises:
        StoreError: Nobody serves yet, there is no such version, or the folder is there already.
        BundleError: The bundle is missing, or not what its digest says.
    """
    from infra.pyfunc import write_pyfunc

    home = connect(settings)
    champion = home.rollouts.champion()
    if version is None:
        if champion is None:
            raise StoreError("nobody serves yet: there is no champion to write. Run `everfeed run` first.")
        version, digest = champion.version, champion.digest
    else:
        digests = {one.version: one.digest for one in home.registry.versions()}
        if version not in digests:
            known = ", ".join(str(one) for one in sorted(digests)) or "none"
            raise StoreError(f"the model has no version {version}. Known: {known}.")
        digest = digests[version]
    folder = (out or settings.root / "pyfunc" / str(version)).expanduser().resolve()
    write_pyfunc(settings.bundles, digest, folder, requirement="everfeed")
    return Written(version, digest, folder)
