"""Building histories from files, beside a scan of their columns and beside Polars."""

import importlib.util
import json
import resource
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.table import Figure
from benchmarks.training.events import Size, write_events
from benchmarks.training.measure import Cost, Options, in_a_process, in_turn, ratio, timed, words
from recmodels.data.assembly import Assembled, assemble
from recmodels.data.scan import ScanLimits
from recmodels.recipe import DataConfig

LIMIT = "1GB"
_SCAN_TARGET, _PEER_TARGET, _LIMIT_TARGET = 10.0, 1.1, 1.6
_ALL = 2**31 - 1
_COLUMNS = ("user_id", "item_id", "timestamp", "event_id")


def figures(options: Options) -> list[Figure]:
    """Build in every way, each in a process of its own."""
    size = Size(*(options.sized(full) for full in (Size.events, Size.items, Size.users)))
    names = [name for name in WAYS if name != "polars" or importlib.util.find_spec("polars")]
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="everfeed-building-") as folder:
        write_events(Path(folder), size, seed=options.seed)

        def run(name: str) -> Cost:
            found = in_a_process("building", name, folder, str(options.threads), threads=options.threads)
            peaks[name] = found["peak_mb"]
            return Cost(found["cpu"], found["wall"])

        costs = in_turn({name: partial(run, name) for name in names}, rounds=options.rounds)
    note = f"{size.events:,} events, {size.users:,} users, {size.items:,} items; {words(costs)}; peak " + ", ".join(
        f"{name} {peak:.0f} MB" for name, peak in peaks.items()
    )
    to_scan, limited = ratio(costs, "everfeed", "scan"), ratio(costs, "limited", "everfeed")
    table = [
        Figure(
            "building / scan of the same columns",
            f"<= {_SCAN_TARGET:g}",
            f"{to_scan:.2f}",
            to_scan <= _SCAN_TARGET,
            note,
        ),
        Figure(
            f"building under {LIMIT} / without limit", f"<= {_LIMIT_TARGET}", f"{limited:.2f}", limited <= _LIMIT_TARGET
        ),
    ]
    if "polars" not in names:
        return [*table, Figure("building / Polars", f"<= {_PEER_TARGET}", "-", None, "polars is not installed")]
    to_peer = ratio(costs, "everfeed", "polars")
    note = "Polars joins, sorts and writes the same arrays; its tie hash is its own"
    return [*table, Figure("building / Polars", f"<= {_PEER_TARGET}", f"{to_peer:.2f}", to_peer <= _PEER_TARGET, note)]


def build(files: list[str], out: Path, *, threads: int, memory: str | None = None) -> Assembled:
    """Build as Everfeed does, keeping every repeat, as the others do."""
    return assemble(files, out, data=DataConfig(maximum_repeats=_ALL), limits=ScanLimits(memory, threads))


def scan(files: list[str], *, threads: int) -> tuple[int, ...]:
    """Read every value of the four columns once, and keep one number of each column."""
    with duckdb.connect(":memory:", config={"threads": threads}) as connection:
        sums = ", ".join(f"bit_xor(hash({name}))" for name in _COLUMNS)
        return connection.execute(f"SELECT {sums} FROM read_parquet({files})").fetchall()[0]


def build_by_polars(files: list[str], out: Path) -> None:
    """Write the same arrays: items numbered, sorted by user, time and a hash of the event."""
    import polars as pl

    out.mkdir()
    events = pl.scan_parquet(files)
    items = events.select("item_id").unique().sort("item_id").with_row_index("item", offset=2).collect()
    users = events.select("user_id").unique().sort("user_id").with_row_index("user").collect()
    numbered = events.join(users.lazy(), on="user_id").join(items.lazy(), on="item_id")
    hashed = numbered.select("user", "item", "timestamp", tie=pl.col("event_id").hash())
    table = hashed.sort("user", "timestamp", "tie").collect()
    bounds = np.searchsorted(table["user"].to_numpy(), np.arange(len(users) + 1))
    np.save(out / "items.npy", table["item"].to_numpy().astype(np.int32))
    np.save(out / "timestamps.npy", table["timestamp"].to_physical().to_numpy())
    np.save(out / "starts.npy", bounds[:-1])
    np.save(out / "ends.npy", bounds[1:])
    users.write_parquet(out / "users.parquet")
    items.write_parquet(out / "vocabulary.parquet")


WAYS: dict[str, Callable[[list[str], Path, int], object]] = {
    "scan": lambda files, _, threads: scan(files, threads=threads),
    "everfeed": lambda files, out, threads: build(files, out, threads=threads),
    "limited": lambda files, out, threads: build(files, out, threads=threads, memory=LIMIT),
    "polars": lambda files, out, _: build_by_polars(files, out),
}


def main(way: str, folder: str, threads: str) -> None:
    """Run one way on the files of a folder, and print what it took."""
    files = sorted(str(path) for path in Path(folder).glob("*.parquet"))
    with tempfile.TemporaryDirectory(dir=folder) as out:
        cost = timed(lambda: WAYS[way](files, Path(out) / "out", int(threads)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": cost.cpu, "wall": cost.wall, "peak_mb": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
