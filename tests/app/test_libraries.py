"""The archives of the libraries that the site serves."""

from __future__ import annotations

import io
import tomllib
import zipfile

import pytest

from tests.support.processes import ROOT


@pytest.mark.parametrize(("name", "package"), [("gossip-client", "gossip_client"), ("gossip-backbone", "backbone")])
def test_an_archive_has_only_the_files_of_the_package(client, name, package):
    answer = client.get(f"/docs/libraries/{name}.zip")
    assert answer.status_code == 200 and answer.mimetype == "application/zip"
    files = zipfile.ZipFile(io.BytesIO(answer.data))
    names = set(files.namelist())
    modules = {path.name for path in (ROOT / "libraries" / name / "src" / package).glob("*.py")}
    assert {f"{name}/pyproject.toml", f"{name}/README.md", f"{name}/src/{package}/py.typed"} <= names
    assert {f"{name}/src/{package}/{module}" for module in modules} <= names
    assert not [entry for entry in names if "test" in entry or "__pycache__" in entry or ".egg-info" in entry]
    project = tomllib.loads(files.read(f"{name}/pyproject.toml").decode())["project"]
    assert project["name"] == name
    assert {f"{name}/{path}" for path in project.get("license-files", ())} <= names


def test_an_unchanged_archive_is_not_sent_again(client):
    first = client.get("/docs/libraries/gossip-client.zip")
    again = client.get("/docs/libraries/gossip-client.zip", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304 and not again.data


@pytest.mark.parametrize("name", ["nothing", "tests", "..", "gossip-client%2F..%2Ftests"])
def test_only_the_libraries_are_served(client, name):
    assert client.get(f"/docs/libraries/{name}.zip").status_code == 404
