"""The unchanged examples, with the real worker and edits in a real browser."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from gossip_client.sync import Client

from tests.support.processes import ServerProcess, free_port
from tests.support.waiting import wait_until

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PASSWORD = "correct horse battery"


@pytest.fixture
def start_example(run_environment, python, worker, application, tmp_path):
    """Start examples in an empty folder, and kill them after the test."""
    started = []

    def start(name: str, **environment: str) -> ServerProcess:
        variables = {
            **run_environment,
            "GOSSIP_URL": worker.url,
            "GOSSIP_CLIENT_ID": application.client_id,
            "GOSSIP_CLIENT_SECRET": application.client_secret,
            **environment,
        }
        started.append(ServerProcess([python, str(EXAMPLES / name)], env=variables, cwd=tmp_path))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_the_directory_page_changes_as_games_are_edited(start_example, stored, new_page):
    """An owner edits a game on the network's site. The example's page, open in another browser, follows."""
    from playwright.sync_api import expect

    owner = stored.user("wren")
    stored.connection(stored.game("Harbour", name="Midnight Harbour", owner=owner))
    stored.game("Secret", name="Not Shown", owner=owner, is_displayed=False)
    stored.game("Sly", name="{{ 7 * 7 }} <b>bold</b>", owner=owner)
    port = free_port()
    example = start_example("directory_page.py", PORT=str(port))
    example.wait_for_line("Running on")

    visitor = new_page()
    visitor.goto(f"http://127.0.0.1:{port}/")
    game_list = visitor.locator("ul")
    expect(game_list).to_contain_text("Midnight Harbour")
    expect(game_list).to_contain_text("mud.example.com:4000")
    expect(game_list).to_contain_text("{{ 7 * 7 }} <b>bold</b>")
    expect(game_list).not_to_contain_text("Not Shown")

    page = new_page()
    page.goto("/sign-in")
    page.get_by_label("Username or email").fill("wren")
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main form.stack button").click()
    page.goto("/manage/games/Harbour/edit")
    page.get_by_label("Description").fill("Fog, gulls and lanterns.")
    page.locator("main form.stack button").click()
    expect(page.locator(".flash")).to_be_visible()
    expect(game_list).to_contain_text("Fog, gulls and lanterns.")

    page.goto("/manage/games/new")
    page.get_by_label("Name", exact=True).fill("Ashfall")
    page.get_by_label("Short name").fill("Ashfall")
    page.locator("main form.stack button").click()
    expect(page.locator("#client-secret")).to_have_text(re.compile("[0-9a-f-]{36}"))
    expect(game_list).to_contain_text("Ashfall")
    assert "Traceback" not in example.output


def test_the_channel_logger_writes_what_is_said(start_example, stored, worker, tmp_path):
    """On an existing channel, and on one that is created while the logger runs."""
    stored.channel("gossip")
    speaker = stored.game_with_credentials("Alpha")[1]
    example = start_example("channel_logger.py")
    path = tmp_path / "channels.db"
    wait_until(lambda: path.exists() and _rows(path, "SELECT cursor FROM backbone_state WHERE cursor IS NOT NULL"))
    with Client(worker.url, speaker.client_id, speaker.client_secret, channels=["gossip"]) as game:
        game.send("gossip", "Ann", "hello")
        game.subscribe("brand-new")
        game.send("brand-new", "Ann", "first!")
        example.wait_for_line("[brand-new] Ann@Alpha: first!")
    query = "SELECT name, speaker, text FROM lines JOIN backbone_channels c ON c.id = channel_id ORDER BY lines.id"
    assert _rows(path, query) == [("gossip", "Ann@Alpha", "hello"), ("brand-new", "Ann@Alpha", "first!")]
    assert "Traceback" not in example.output


def _rows(path: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []  # the table does not exist yet, or the file is locked
    finally:
        connection.close()
