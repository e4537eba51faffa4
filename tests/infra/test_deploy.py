"""Dockerfile, compose file and manifests: valid by their schemas, safe by rules, and in step with the code.

No container engine runs here, so that nothing of this is started; what can be is, in test_gateway_image.py.
"""

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.settings import Settings

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "infra" / "deploy"
MANIFESTS = DEPLOY / "kubernetes"
KUBERNETES = "1.31"
"""The schemas of this release; all that is used is older."""
CASES = ("Deployment", "Job")


def _compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return document


def _resources() -> list[dict[str, Any]]:
    kept = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]
    return [one for name in kept for one in yaml.safe_load_all((MANIFESTS / name).read_text())]


def _pods() -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in _resources() if one["kind"] in CASES}


def _instructions() -> list[dict[str, Any]]:
    from dockerfile_parse import DockerfileParser

    with (DEPLOY / "Dockerfile").open("rb") as file:
        found: list[dict[str, Any]] = DockerfileParser(fileobj=file).structure
    return [one for one in found if one["instruction"] != "COMMENT"]


def _requirements() -> set[str]:
    lines = (DEPLOY / "gateway.txt").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_compose_file_is_valid_by_the_schema_of_its_specification() -> None:
    from jsonschema import Draft7Validator

    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    assert [error.message for error in Draft7Validator(schema).iter_errors(_compose())] == []


def test_manifests_are_valid_by_the_schemas_of_kubernetes() -> None:
    import kubernetes_validate

    kinds = set()
    for one in _resources():
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
        kinds.add(one["kind"])
    assert kinds >= {*CASES, "Service", "NetworkPolicy", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Namespace"}
    assert {path.name for path in MANIFESTS.iterdir()} == {
        "kustomization.yaml",
        *yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"],
    }


def test_a_manifest_with_a_field_that_is_none_is_not_valid() -> None:
    import kubernetes_validate

    gateway = next(one for one in _resources() if one["kind"] == "Deployment")
    gateway["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(gateway, KUBERNETES, strict=True)


def test_every_pod_is_locked_down_and_limited() -> None:
    for name, pod in _pods().items():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not pod["automountServiceAccountToken"], name
        assert not pod["enableServiceLinks"], name  # the Service `prefect` would set variables of Prefect's
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"], name
            assert not rights["allowPrivilegeEscalation"], name
            assert rights["capabilities"] == {"drop": ["ALL"]}, name
            assert {"requests", "limits"} <= container["resources"].keys(), name


def test_services_budgets_and_autoscalers_name_what_is_there() -> None:
    found = _resources()
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in found if one["kind"] in CASES]
    for one in found:
        if one["kind"] in {"Service", "PodDisruptionBudget"}:
            selector = one["spec"]["selector"]
            wanted = selector.get("matchLabels", selector)
            assert any(wanted.items() <= known.items() for known in labels), one["metadata"]["name"]
    scaled = next(one for one in found if one["kind"] == "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"]
    gateway = next(one for one in found if one["kind"] == "Deployment" and one["metadata"]["name"] == scaled)
    assert "replicas" not in gateway["spec"]  # or each `apply` would undo the autoscaler


def test_probes_ask_what_the_gateway_answers() -> None:
    from infra.serving.openapi import OPERATIONS

    (container,) = _pods()["gateway"]["containers"]
    probes = ("startupProbe", "readinessProbe", "livenessProbe")
    asked = {name: container[name]["httpGet"]["path"] for name in probes}
    assert set(asked.values()) <= {operation.path for operation in OPERATIONS}
    assert asked["livenessProbe"] != asked["readinessProbe"]  # a store that is away is no reason to restart


def test_every_setting_that_is_given_is_one() -> None:
    texts = [(DEPLOY / "compose.yaml").read_text(), *(path.read_text() for path in MANIFESTS.glob("*.yaml"))]
    named = {name.lower() for text in texts for name in re.findall(r"\beverfeed_[a-z0-9_]+|EVERFEED_[A-Z0-9_]+", text)}
    known = {f"everfeed_{name}" for name in Settings.model_fields} | {"everfeed_secrets_dir"}
    assert named <= known


def test_compose_publishes_on_loopback_alone_and_keeps_secrets_in_files() -> None:
    document = _compose()
    for name, service in document["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        values = service.get("environment", {})
        assert not [key for key in values if "PASSWORD" in key and not key.endswith("_FILE")], name
        assert name == "database" or service["read_only"], name
        assert set(service.get("secrets", ())) <= document["secrets"].keys(), name
        assert set(service.get("depends_on", ())) <= document["services"].keys(), name
    assert document["networks"]["inside"]["internal"]
    assert document["services"]["database"]["networks"] == ["inside"]
    assert "infra/deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_dockerfile_keeps_its_rules() -> None:
    instructions = _instructions()
    stages = [one["value"].split(" AS ")[-1] for one in instructions if one["instruction"] == "FROM"]
    assert stages[-2:] == ["gateway", "worker"]
    users = [one["value"] for one in instructions if one["instruction"] == "USER"]
    assert users == ["10001:10001"]
    for one in instructions:
        assert one["instruction"] != "ADD"
        assert not re.search(r"(?i)(password|secret|token)=", one["value"])
        if one["instruction"] in {"CMD", "ENTRYPOINT"}:
            json.loads(one["value"])  # a list: no shell stands between the engine's signals and the program
        if "pip install" in one["value"]:
            assert "-c constraints.txt" in one["value"] or "--no-deps" in one["value"]
    assert not [one for one in instructions if "latest" in one["value"]]
    assert "HEALTHCHECK" in {one["instruction"] for one in instructions}


def test_the_gateway_installs_some_of_the_project_s_own_requirements_and_no_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    every = [*project["dependencies"], *project["optional-dependencies"]["postgres"]]
    known = {re.split(r"[<>=\[]", line)[0].lower() for line in every}
    assert _requirements() <= known
    assert not _requirements() & {"torch", "mlflow", "prefect", "evidently", "great-expectations"}


def test_every_program_that_a_container_starts_is_there() -> None:
    lines = [service.get("command", []) for service in _compose()["services"].values()]
    lines += [container.get("args", []) for pod in _pods().values() for container in pod["containers"]]
    modules = {line[2] for line in lines if line[:2] == ["python", "-m"]}
    assert modules >= {"infra.serving.main", "flows.control_room", "flows.sender"}
    own = {name for name in modules if name.split(".")[0] in {"infra", "flows"}}
    assert [name for name in own if not (ROOT / f"{name.replace('.', '/')}.py").is_file()] == []
    assert {line[0] for line in lines if line} <= {"python", "mlflow", "prefect", "migrate"}
