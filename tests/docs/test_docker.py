"""The compose files and the Dockerfile, checked as files: no Docker engine runs where these tests do.

`compose-spec.json` is the schema of the Compose Specification (`schema/compose-spec.json` of
https://github.com/compose-spec/compose-spec, Apache-2.0), byte for byte as check-jsonschema 0.39.0 on PyPI ships it.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
SCHEMA = json.loads((ROOT / "tests/docs/compose-spec.json").read_text(encoding="utf-8"))
SETUPS = {
    "qdrant-single": {"qdrant"},
    "qdrant-cluster": {"qdrant-1", "qdrant-2", "qdrant-3"},
    "milvus-standalone": {"etcd", "minio", "milvus"},
}
PINNED = r"[a-z0-9./-]+:(v\d+\.\d+\.\d+|RELEASE\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)"
SECRET = re.compile(r"KEY|PASSWORD|TOKEN|SECRET|ROOT_USER")
# by image: its environment must hold these names, with this value or, for None, a secret
REQUIRED: dict[str, dict[str, str | None]] = {
    "qdrant/qdrant": {"QDRANT__SERVICE__API_KEY": None, "QDRANT__TELEMETRY_DISABLED": "true"},
    "milvusdb/milvus": {
        "COMMON_SECURITY_AUTHORIZATIONENABLED": "true",
        "COMMON_SECURITY_DEFAULTROOTPASSWORD": None,
        "MINIO_SECRET_ACCESS_KEY": None,
    },
    "quay.io/minio/minio": {"MINIO_ROOT_USER": None, "MINIO_ROOT_PASSWORD": None},
    "quay.io/coreos/etcd": {},
}


def compose(setup: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DOCKER / setup / "compose.yaml").read_text(encoding="utf-8"))
    return content


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments: without comments, each on one line."""
    lines = [
        line for line in (DOCKER / "Dockerfile").read_text(encoding="utf-8").splitlines() if line[:1] != "#"
    ]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(name, arguments) for name, _, arguments in (line.partition(" ") for line in whole) if name]


SERVICES = [
    pytest.param(service, id=f"{setup}/{name}")
    for setup in SETUPS
    for name, service in compose(setup)["services"].items()
]
each_setup = pytest.mark.parametrize("setup", SETUPS)
each_service = pytest.mark.parametrize("service", SERVICES)


def test_every_compose_file_is_checked() -> None:
    assert {file.parent.name for file in DOCKER.rglob("*compose*.y*ml")} == set(SETUPS)


@each_setup
def test_compose_file_fits_the_schema(setup: str) -> None:
    jsonschema.validate(compose(setup), SCHEMA)
    assert set(compose(setup)["services"]) == SETUPS[setup]


@each_setup
def test_named_volumes_are_declared_and_used(setup: str) -> None:
    mounts = [mount for service in compose(setup)["services"].values() for mount in service["volumes"]]
    assert sorted(mount.split(":")[0] for mount in mounts) == sorted(compose(setup)["volumes"])


@each_setup
def test_no_two_services_publish_the_same_port(setup: str) -> None:
    ports = [port for service in compose(setup)["services"].values() for port in service.get("ports", [])]
    published = [port.rsplit(":", 1)[0] for port in ports]
    assert len(published) == len(set(published)) > 0


@each_service
def test_image_is_pinned(service: dict[str, Any]) -> None:
    assert re.fullmatch(PINNED, service["image"])


@each_service
def test_ports_stay_on_loopback(service: dict[str, Any]) -> None:
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in service.get("ports", []))
    assert "network_mode" not in service


@each_service
def test_service_is_watched_restarted_and_confined(service: dict[str, Any]) -> None:
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service


@each_service
def test_service_waits_for_health(service: dict[str, Any]) -> None:
    waits = service.get("depends_on", {})
    assert all(wait == {"condition": "service_healthy"} for wait in waits.values())


@each_service
def test_secrets_come_from_the_environment(service: dict[str, Any]) -> None:
    secrets = {name: value for name, value in service["environment"].items() if SECRET.search(name)}
    assert all(re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value) for value in secrets.values())
    for name, value in REQUIRED[service["image"].rsplit(":", 1)[0]].items():
        assert name in secrets if value is None else service["environment"][name] == value


def test_dockerfile_ends_as_a_user_without_rights() -> None:
    steps = instructions()
    last_stage = steps[max(at for at, (name, _) in enumerate(steps) if name == "FROM") :]
    names = [name for name, _ in last_stage]
    user = dict(last_stage)["USER"].split(":")[0]
    assert user.isdigit()
    assert int(user) > 0
    assert not {"RUN", "COPY", "ADD"} & set(names[names.index("USER") :])
    assert dict(last_stage)["ENTRYPOINT"] == '["cohorts"]'


def test_dockerfile_pins_its_base_and_holds_no_secret() -> None:
    bases = [arguments.split()[0] for name, arguments in instructions() if name == "FROM"]
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", base) for base in bases)
    settings = [arguments for name, arguments in instructions() if name in {"ARG", "ENV"}]
    assert not any(SECRET.search(setting.upper()) for setting in settings)


def test_dockerfile_installs_cpu_torch_before_anything_else() -> None:
    installs = [step for name, step in instructions() if name == "RUN" and "pip install" in step]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    torch, locked, package = installs
    assert "--index-url https://download.pytorch.org/whl/cpu" in torch
    assert torch.split()[-1] in lock
    assert torch.split()[-1].startswith("torch==")
    assert locked.endswith("--requirement /src/requirements.lock")
    assert package.endswith(" '/src[all]'")
    assert all("--no-deps" in install for install in (locked, package))


def test_build_sees_the_package_and_nothing_else() -> None:
    patterns = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [pattern for pattern in patterns if pattern[:1] not in {"", "#"}]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {name.split(".")[1] for name in project["tool"]["setuptools"]["packages"] if "." in name}
    modules = {file.name for file in ROOT.glob("*.py")}
    told = {"py.typed", "pyproject.toml", "requirements.lock", "README.md", "LICENSE"}
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule[0] == "!"} == packages | modules | told
    assert rules[-1] == "**/__pycache__"
