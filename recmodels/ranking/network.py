"""A ranker's network: exposures in, a logit for each task and expected seconds out."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from recmodels.errors import TrainingError
from recmodels.layers.parallel import ParallelLinear
from recmodels.layers.target_attention import TargetAttention
from recmodels.multi_task import SHARING
from recmodels.rankers import BACKBONES
from recmodels.ranking.config import NetworkConfig
from recmodels.ranking.embeddings import Embeddings, Vectors, table
from recmodels.ranking.examples import Examples, FeatureSpec
from recmodels.ranking.inputs import Inputs
from recmodels.scenarios import SCENARIOS
from recmodels.scenarios._contract import Sizes, Surface
from recmodels.watch_time import WATCH_HEADS

_LEAST_RATE = 1e-4


class Raw(NamedTuple):
    """What a network says of N exposures before it becomes probabilities and seconds.

    Attributes:
        logits: (N, T).
        watch: (N, O), which the head for watch time reads; O is 0 without one.
    """

    logits: Tensor
    watch: Tensor


class RankingNetwork(nn.Module):
    """Embeddings, attention over the history, a backbone and what tasks share, put together from plug-ins.

    The fields of an exposure are its item, what the item sees of the history, its surface, its categorical columns and
    its query. Watch time is one more task, whose head reads what its tower says.

    Args:
        spec: What the columns of examples are.
        config: Which parts, and their settings.

    Raises:
        ValueError: There is no task.
    """

    def __init__(self, spec: FeatureSpec, config: NetworkConfig) -> None:
        super().__init__()
        if not spec.tasks:
            raise ValueError("no label has both classes, so that there is no task. Choose more data or other labels.")
        self.spec, self.config = spec, config
        dim = config.embedding_dim
        self.embeddings = Embeddings(spec, dim, unknown_share=config.unknown_share)
        self.surfaces = table(len(spec.surfaces), dim)
        self.attention = TargetAttention(dim, hidden_dim=config.attention_dim, max_length=spec.max_history)
        num_fields = 3 + self.embeddings.num_fields
        made = BACKBONES.config(config.backbone, config.backbone_config)
        self.backbone = BACKBONES.part(config.backbone)(num_fields, dim, len(spec.numeric), made)
        sizes = Sizes(len(spec.surfaces), num_fields, dim, self.backbone.out_dim)
        made = SCENARIOS.config(config.scenario, config.scenario_config)
        self.scenario = SCENARIOS.part(config.scenario)(sizes, made)
        self.watch_head = None
        if config.watch_time is not None:
            made = WATCH_HEADS.config(config.watch_time, config.watch_time_config)
            self.watch_head = WATCH_HEADS.part(config.watch_time)(made)
        self._build_towers()

    def _build_towers(self) -> None:
        config, head = self.config, self.watch_head
        num_tasks = len(self.spec.tasks)
        count = num_tasks + (head is not None)
        made = SHARING.config(config.multi_task, config.multi_task_config)
        self.sharing = SHARING.part(config.multi_task)(self.scenario.out_dim, count, made)
        self.towers = ParallelLinear(count, self.sharing.out_dim, config.tower_dim)
        self.tasks = ParallelLinear(num_tasks, config.tower_dim, 1)
        self.watch = None if head is None else nn.Linear(config.tower_dim, head.outputs)

    def begin(self, train: Examples) -> None:
        """Start each task at its rate, and fit the head for watch time to the seconds that are known."""
        rates = np.nanmean(train.labels, axis=0, dtype=np.float64).clip(_LEAST_RATE, 1 - _LEAST_RATE)
        with torch.no_grad():
            self.tasks.bias.copy_(torch.from_numpy(np.log(rates / (1 - rates)))[:, None])
        known = np.isfinite(train.watch_seconds)
        if self.watch_head is not None:
            if not known.any():
                raise TrainingError("watch_seconds is known of no training row. Set watch_time to null.")
            self.watch_head.fit(train.watch_seconds[known].clip(min=0), train.duration_seconds[known])

    def forward(self, inputs: Inputs) -> Raw:
        """Return what the network says of N exposures."""
        return self.judge(self.embeddings(inputs))

    def judge(self, vectors: Vectors) -> Raw:
        """Return what the network says of exposures that were looked up."""
        surface = Surface(vectors.surfaces, self.surfaces.vectors(vectors.surfaces))
        seen = self.attention(vectors.item, vectors.history, vectors.is_item, vectors.request)  # (N, D)
        fields = torch.cat([torch.stack([vectors.item, seen, surface.vectors], dim=1), vectors.fields], dim=1)
        fields = self.scenario.fields(fields, surface)  # (N, K, D)
        states = self.scenario.states(self.backbone(fields, vectors.numbers), fields, surface)  # (N, H)
        towers = nn.functional.relu(self.towers(self.sharing(states)))  # (N, T', W)
        num_tasks = len(self.spec.tasks)
        logits = self.tasks(towers[:, :num_tasks])[:, :, 0]  # (N, T)
        return Raw(logits, logits[:, :0] if self.watch is None else self.watch(towers[:, -1]))

    def seconds(self, raw: Raw, duration: Tensor) -> Tensor:
        """Return expected seconds, (N,); NaN where nothing predicts them."""
        if self.watch_head is None:
            return torch.full_like(duration, torch.nan)
        return self.watch_head.seconds(raw.watch, duration)
