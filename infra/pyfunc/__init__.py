"""A version as an MLflow model, for whoever wants `mlflow models predict`; the gateway never uses it.

The model is code (`served_bundle.py`) and a bundle beside it, which is read by its digest: nothing is pickled.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from recmodels.errors import StoreError
from recmodels.manifest import verify

__all__ = ["write_pyfunc"]

_CODE = Path(__file__).parent / "served_bundle.py"


def write_pyfunc(bundles: Path, digest: str, target: Path, *, requirement: str) -> Path:
    """Write a bundle as an MLflow model into a new folder and return it.

    Args:
        bundles: Folder of all bundles.
        digest: Which one.
        target: The folder; it must not be there.
        requirement: What pip installs for Everfeed where MLflow makes an environment.

    Raises:
        BundleError: The bundle is missing, or not what its digest says.
        StoreError: The folder is there already, or cannot be written.
    """
    verify(bundles, digest)
    if target.exists():
        raise StoreError(f"{target} is there already and is not written over. Name another folder with --out.")
    import mlflow.pyfunc

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target.parent) as scratch:
            made = Path(scratch) / "model"
            mlflow.pyfunc.save_model(
                made,
                python_model=str(_CODE),
                artifacts={"bundle": str(bundles / digest)},
                model_config={"digest": digest},
                pip_requirements=[requirement],
                metadata={"digest": digest},
            )
            shutil.move(made, target)
    except OSError as error:
        raise StoreError(f"no MLflow model can be written to {target}: {error}. Choose another folder.") from error
    return target
