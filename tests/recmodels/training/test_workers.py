import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]

SCRIPT = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from recmodels.models import MODELS
from recmodels.training.loop import Loop
from recmodels.training.trainer import train
from recmodels.training.validation import Validation
from recmodels.training.workers import Workers
from tests.recmodels.worlds import a_recipe, circles_split
from safetensors.torch import save_file

torch.set_num_threads(1)
if len(sys.argv) > 2:
    rank, meeting = int(sys.argv[2]), sys.argv[3]
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
out, workers = Path(sys.argv[1]), Workers.of_this_process()
split, weights = circles_split(users=61), {}
for steps in ("all", "rows"):
    config = {"embedding_dim": 8, "num_layers": 1, "max_length": 6, "negatives": 8, "dropout": 0.0}
    recipe = a_recipe("sasrec", config, batch_size=30, learning_rate=0.01, precision="float32", item_steps=steps)
    torch.manual_seed(1)
    model = MODELS.build("sasrec", MODELS.config("sasrec", config), split.vocabulary.size)
    loop = Loop(model, split.train, config=recipe.trainer, seed=5, on_step=None, workers=workers)
    loss = loop.epoch(1)
    measured = Validation(split, remove_seen=True, seed=5).measure(model, workers=workers)
    weights |= {f"{steps}.{name}": value for name, value in model.state_dict().items()}
    weights[f"{steps}.figures"] = torch.tensor([loss, measured.ndcg_at_10, measured.recall_at_10])
save_file(weights, out / f"{workers.rank}-of-{workers.count}.safetensors")
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train one epoch alone, and with two processes; return the weights and figures of (alone, first, second)."""
    from safetensors.torch import load_file

    out = tmp_path_factory.mktemp("workers")
    meeting = ["0", str(out / "meeting")], ["1", str(out / "meeting")]
    together = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, str(out), *arguments], cwd=REPOSITORY) for arguments in meeting
    ]
    subprocess.run([sys.executable, "-c", SCRIPT, str(out)], cwd=REPOSITORY, check=True)
    assert [process.wait(timeout=120) for process in together] == [0, 0]
    return [load_file(out / f"{name}.safetensors") for name in ("0-of-1", "0-of-2", "1-of-2")]


def test_weights_and_figures_equal_those_of_one_process_when_two_train_together(trained):
    alone, first, second = trained
    assert {name.split(".")[0] for name in alone} == {"all", "rows"}
    for name, expected in alone.items():
        differ = (first[name] - expected).abs()
        if name.endswith("key_value.bias"):
            differ = differ[len(differ) // 2 :]  # a key's bias changes no softmax: its gradient is mere rounding
        assert differ.max() < 2e-5, name
        assert first[name].equal(second[name]), name
