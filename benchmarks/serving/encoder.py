"""The exported encoder at batch 1 against the same encoder in torch, in one process, in turn."""

import json
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.serving.figures import ROOT, Row, Spread, ratio
from benchmarks.serving.homes import EMBEDDING_DIM, HISTORY_LENGTH, make_model
from benchmarks.serving.plan import Plan

_ITEMS = 1_000  # the encoder knows no items; a small table keeps this about the encoder


def measure(plan: Plan) -> list[Row]:
    """Measure in a process of its own: torch stays out of the one that measures servers."""
    command = (sys.executable, "-m", "benchmarks.serving.encoder", str(plan.rounds), str(plan.size(1_000, 100)))
    answer = subprocess.run([*command, str(plan.seed)], check=True, cwd=ROOT, capture_output=True, text=True)
    onnx, eager = json.loads(answer.stdout)
    note = (
        f"one thread, {HISTORY_LENGTH} events; ONNX Runtime {Spread.of(onnx).words(digits=0, unit='us')}, torch eager "
    )
    note += Spread.of(eager).words(digits=0, unit="us")
    return [ratio("exported encoder at batch 1, CPU / torch eager", ours=onnx, theirs=eager, limit=0.5, note=note)]


def _compare(rounds: int, calls: int, seed: int) -> tuple[list[float], list[float]]:
    """Return processor time a call, in microseconds, of the exported and of the eager encoder, a round."""
    import torch

    torch.set_num_threads(1)
    model = make_model(_ITEMS, seed=seed)
    encoder = model.export().compiled
    vectors = np.random.default_rng(seed).normal(size=(1, HISTORY_LENGTH, EMBEDDING_DIM)).astype(np.float32)
    is_item = np.ones((1, HISTORY_LENGTH), dtype=np.bool_)
    tensors = torch.from_numpy(vectors), torch.from_numpy(is_item)

    def exported() -> None:
        encoder.run(vectors, is_item)

    def eager() -> None:
        with torch.no_grad():
            model.encoder.last(*tensors)

    for work in (exported, eager):
        _microseconds(work, calls)
    pairs = [(_microseconds(exported, calls), _microseconds(eager, calls)) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _microseconds(work: Callable[[], None], calls: int) -> float:
    began = time.process_time()
    for _ in range(calls):
        work()
    return (time.process_time() - began) / calls * 1e6


if __name__ == "__main__":
    print(json.dumps(_compare(*map(int, sys.argv[1:]))))
