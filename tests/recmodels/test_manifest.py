import hashlib
import json

import numpy as np
import pytest

from recmodels.bundle import load_bundle
from recmodels.errors import BundleError
from recmodels.manifest import verify
from recmodels.scorers import StaticScorer
from tests.recmodels.worlds import save_bundle

FILES = ["counts.safetensors", "items.parquet", "scorer/arrays.safetensors", "vocabulary.parquet"]


@pytest.fixture
def bundle(tmp_path):
    """(folder of all bundles, digest)"""
    return tmp_path, save_bundle(tmp_path, StaticScorer(np.arange(7, dtype=np.float32)))


def rewrite_manifest(root, digest, **changes):
    """Give the folder a manifest with other contents, and the digest that goes with it."""
    path = root / digest / "manifest.json"
    text = json.dumps(json.loads(path.read_text()) | changes).encode()
    path.write_bytes(text)
    new = hashlib.sha256(text).hexdigest()
    (root / digest).rename(root / new)
    return new


def listed(root, digest):
    return json.loads((root / digest / "manifest.json").read_text())["files"]


def test_manifest_lists_every_other_file_when_it_is_sealed(bundle):
    root, digest = bundle
    assert sorted(verify(root, digest).files) == FILES
    assert digest == hashlib.sha256((root / digest / "manifest.json").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_loading_is_refused_when_one_byte_of_a_file_is_altered(bundle, name):
    root, digest = bundle
    path = root / digest / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BundleError, match=f"{name} (was altered|is not the one)"):
        load_bundle(root, digest)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_loading_is_refused_when_a_file_is_missing(bundle, name):
    root, digest = bundle
    (root / digest / name).unlink()
    with pytest.raises(BundleError, match=f"(lacks|has no) {name}"):
        load_bundle(root, digest)


@pytest.mark.parametrize("name", ["extra.json", "scorer/weights.pkl", ".hidden"])
def test_loading_is_refused_when_a_file_is_not_listed(bundle, name):
    root, digest = bundle
    (root / digest / name).write_text("{}")
    with pytest.raises(BundleError, match=f"holds {name}, unknown to its manifest"):
        load_bundle(root, digest)


def test_loading_is_refused_when_a_permitted_file_is_replaced_by_a_link(bundle, tmp_path):
    root, digest = bundle
    path = root / digest / "items.parquet"
    path.rename(tmp_path / "elsewhere.parquet")
    path.symlink_to(tmp_path / "elsewhere.parquet")
    with pytest.raises(BundleError, match=r"items.parquet is a link"):
        load_bundle(root, digest)


def test_loading_is_refused_when_the_manifest_or_the_folder_is_a_link(bundle, tmp_path):
    root, digest = bundle
    (root / digest).rename(root / "moved")
    (root / digest).symlink_to(root / "moved")
    with pytest.raises(BundleError, match="is not in"):
        load_bundle(root, digest)
    (root / digest).unlink()
    (root / "moved").rename(root / digest)
    manifest = root / digest / "manifest.json"
    manifest.rename(tmp_path / "manifest.json")
    manifest.symlink_to(tmp_path / "manifest.json")
    with pytest.raises(BundleError, match=r"has no manifest.json"):
        load_bundle(root, digest)


@pytest.mark.parametrize("digest", ["", "../other", "A" * 64, "0" * 63, "g" * 64])
def test_loading_is_refused_when_the_digest_is_not_one(bundle, digest):
    with pytest.raises(BundleError, match="is not 64 hexadecimal digits"):
        load_bundle(bundle[0], digest)


def test_loading_says_where_it_looked_when_there_is_no_such_bundle(bundle):
    with pytest.raises(BundleError, match=f"bundle 000000000000 is not in {bundle[0]}"):
        load_bundle(bundle[0], "0" * 64)


def test_loading_is_refused_when_the_folder_holds_another_bundle(bundle):
    root, digest = bundle
    (root / digest).rename(root / ("0" * 64))
    with pytest.raises(BundleError, match="is not the one that the digest names"):
        load_bundle(root, "0" * 64)


def test_loading_names_both_versions_when_the_format_is_newer(bundle):
    root, digest = bundle
    new = rewrite_manifest(root, digest, format_version=6, a_field_of_the_future=True)
    with pytest.raises(BundleError, match=r"format version 6; this Everfeed reads 1, 2, 3, 4, 5. Upgrade"):
        load_bundle(root, new)


@pytest.mark.parametrize("change", [{"format_version": None}, {"metrics": {"a": "b"}}, {"unknown": 1}, {"files": []}])
def test_loading_is_refused_when_the_manifest_is_malformed(bundle, change):
    root, digest = bundle
    with pytest.raises(BundleError, match=r"format version|manifest.json cannot be read"):
        load_bundle(root, rewrite_manifest(root, digest, **change))


@pytest.mark.parametrize(
    "name", ["../outside.json", "/etc/outside.json", "scorer/../../outside.json", "./items.parquet", "weights.pkl"]
)
def test_loading_is_refused_when_the_manifest_lists_a_name_that_is_not_allowed(bundle, name):
    root, digest = bundle
    new = rewrite_manifest(root, digest, files=listed(root, digest) | {name: "0" * 64})
    with pytest.raises(BundleError, match="the manifest lists"):
        load_bundle(root, new)


def test_loading_is_refused_when_the_bundle_is_larger_than_permitted(bundle):
    root, digest = bundle
    size = sum(path.stat().st_size for path in (root / digest).rglob("*") if path.is_file())
    assert verify(root, digest, max_bytes=size).num_items
    with pytest.raises(BundleError, match=f"holds {size} bytes; at most {size - 1} are read"):
        load_bundle(root, digest, max_bytes=size - 1)


def test_loading_is_refused_when_the_manifest_is_huge(bundle):
    root, digest = bundle
    (root / digest / "manifest.json").write_bytes(b" " * (4 * 2**20 + 1))
    with pytest.raises(BundleError, match="is larger than 4194304 bytes"):
        load_bundle(root, digest)
