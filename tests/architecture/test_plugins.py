"""Plug-in folders: listing one shows the catalogue, and every catalogue is known here."""

import ast

import pytest

from monitoring.alerts.channels import CHANNELS
from monitoring.analysis import ANALYSES
from monitoring.drift import CHECKS
from monitoring.expectations import SUITES
from recmodels.data.sources import SOURCES
from recmodels.models import MODELS
from recmodels.multi_task import SHARING
from recmodels.rankers import BACKBONES
from recmodels.registry import Registry
from recmodels.reranking import STAGES
from recmodels.scenarios import SCENARIOS
from recmodels.watch_time import WATCH_HEADS
from tests.architecture.sources import ROOT, dotted, modules

REGISTRIES: tuple[Registry, ...] = (
    *(SOURCES, MODELS, STAGES, SUITES, CHECKS, CHANNELS, ANALYSES),
    *(BACKBONES, SHARING, SCENARIOS, WATCH_HEADS),
)


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.package)
def test_every_module_of_the_folder_is_a_plug_in_that_the_registry_gives(registry: Registry) -> None:
    folder = ROOT / registry.package.replace(".", "/")
    files = {path.stem for path in folder.glob("[!_]*.py")}
    assert set(registry.names()) == files
    for name in registry.names():
        assert registry.get(name) is getattr(registry.module(name), registry.attribute)


def test_every_registry_of_the_source_is_tested_here() -> None:
    made = [
        str(call.args[0].value)
        for module in modules()
        for call in module.calls()
        if dotted(call.func) in {"Registry", "ModelRegistry", "PartRegistry"} and len(call.args) == 3
        if isinstance(call.args[0], ast.Constant)
    ]
    assert sorted(made) == sorted(registry.package for registry in REGISTRIES)
