"""Units, alerts, the dashboard and the containers: checked by the tools that read them, and against the code."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.settings import FROM_FILES, Settings
from tests.support.processes import ROOT
from tests.support.programs import find_program
from tests.support.servers import RunningGateway, RunningSite, RunningWorker, get

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SETTINGS = {field.name.upper() for field in dataclasses.fields(Settings)} | {f"{name}_FILE" for name in FROM_FILES}


def check(*command: str, folder: Path = ROOT) -> str:
    """Run a command that must succeed. Return what it prints."""
    program = find_program(command[0])
    assert program is not None
    done = subprocess.run([program, *command[1:]], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# systemd


@pytest.mark.operating
@pytest.mark.usefixtures("processes")
def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    """The programs need not be installed."""
    for unit in UNITS:
        text = re.sub(r"/srv/gossip/\.venv/bin/\S+", sys.executable, unit.read_text())
        (tmp_path / unit.name).write_text(text)
    names = [str(tmp_path / unit.name.replace("@", "@1")) for unit in UNITS]
    for unit, name in zip(UNITS, names, strict=True):
        if "@" in unit.name:
            Path(name).symlink_to(tmp_path / unit.name)
    assert check("systemd-analyze", "verify", *names) == ""


def test_units_wait_for_their_processes_to_stop() -> None:
    """A worker takes up to 10 seconds, and the launcher waits for it."""
    assert len(UNITS) == 4
    for unit in UNITS:
        seconds = re.search(r"^TimeoutStopSec=(\d+)$", unit.read_text(), re.MULTILINE)
        assert seconds and int(seconds[1]) >= (30 if unit.name == "gossip.service" else 15)


# Prometheus and Grafana


@pytest.mark.operating
@pytest.mark.usefixtures("processes")
def test_prometheus_accepts_the_alerts_and_they_fire() -> None:
    folder = DEPLOY / "prometheus"
    check("promtool", "check", "config", "prometheus.yaml", folder=folder)
    check("promtool", "test", "rules", "alerts.test.yaml", folder=folder)


def test_every_alert_is_tried_and_says_what_to_do() -> None:
    folder = DEPLOY / "prometheus"
    rules = yaml.safe_load((folder / "alerts.yaml").read_text())["groups"][0]["rules"]
    tried = yaml.safe_load((folder / "alerts.test.yaml").read_text())["tests"][0]["alert_rule_test"]
    assert {rule["alert"] for rule in rules} == {test["alertname"] for test in tried}
    for rule in rules:
        assert rule["annotations"]["summary"] and rule["annotations"]["action"], rule["alert"]


def expressions() -> list[str]:
    """Return the expressions of all alerts and panels."""
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"][0]["rules"]
    panels = json.loads((DEPLOY / "grafana" / "gossip.json").read_text())["panels"]
    return [rule["expr"] for rule in rules] + [target["expr"] for panel in panels for target in panel["targets"]]


@pytest.mark.operating
@pytest.mark.usefixtures("processes")
def test_prometheus_can_read_every_expression(tmp_path: Path) -> None:
    rules = [{"record": f"gossip:{number}", "expr": text} for number, text in enumerate(expressions())]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))
    check("promtool", "check", "rules", "rules.yaml", folder=tmp_path)


def test_every_metric_exists(
    start_site: Callable[..., RunningSite],
    start_worker: Callable[..., RunningWorker],
    start_gateway: Callable[..., RunningGateway],
) -> None:
    site, worker, gateway = start_site(), start_worker(), start_gateway()
    assert get(site.port, "/conduct")[0] == 200
    text = get(site.port, "/metrics")[1] + get(worker.port, "/metrics")[1]
    text += get(gateway.port, "/metrics")[1]
    served = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}

    used = {name for text in expressions() for name in re.findall(r"\b(?:site|worker)_\w+", text)}
    assert len(used) >= 12
    assert used <= served
    documented = (ROOT / "docs" / "operating.md").read_text()
    for name in {re.sub(r"_(bucket|sum|count)$", "", name) for name in served if not name.endswith("_created")}:
        assert f"`{name}`" in documented, f"{name} is not in docs/operating.md"


def test_the_dashboard_has_no_double_ids_and_no_overlap() -> None:
    panels = json.loads((DEPLOY / "grafana" / "gossip.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24


# Containers


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


def test_containers_restart_and_are_watched(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name == "migrate":
            continue
        assert service["restart"] == "unless-stopped", name
        # The site's check is in the image.
        assert name == "site" or service["healthcheck"]["test"], name


def test_containers_are_reachable_from_this_machine_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:4100:4100", "127.0.0.1:4110:4110", "127.0.0.1:4120:4120"]


def test_containers_of_ours_can_write_to_one_volume_only(compose: dict[str, Any]) -> None:
    for name in ("migrate", "site", "worker", "gateway"):
        service = compose["services"][name]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
        assert service["volumes"] == ["data:/data"]
    assert "\nUSER 4100:4100\n" in (DEPLOY / "Containerfile").read_text()


def test_containers_are_given_settings_that_exist(compose: dict[str, Any]) -> None:
    other = {"PGPASSFILE"}
    assert set(compose["services"]["site"]["environment"]) - other <= SETTINGS
    example = re.findall(r"^(\w+)=", (DEPLOY / "gossip.env.example").read_text(), re.MULTILINE)
    assert example and set(example) <= SETTINGS


def test_the_image_has_every_package_of_ours() -> None:
    """What is copied exists, and `.dockerignore` lets it through."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in names:
        assert (ROOT / name).exists() and f"!{name}" in ignored, name
    assert {"app", "gateway", "server", "shared", "worker", "migrations"} <= names


@pytest.mark.usefixtures("processes")
def test_the_image_has_no_lint() -> None:
    check(str(Path(sys.executable).with_name("hadolint")), "deploy/Containerfile")


@pytest.mark.usefixtures("processes")
def test_the_health_check_of_a_container(worker: RunningWorker) -> None:
    command = [sys.executable, "-m", "shared.check_health"]
    assert subprocess.run([*command, str(worker.port)], cwd=ROOT).returncode == 0
    worker.kill()
    assert subprocess.run([*command, str(worker.port)], cwd=ROOT).returncode == 1
