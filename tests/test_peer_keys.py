"""Keys of peers: made of ids and read again."""

from __future__ import annotations

import pytest

from shared import grapevine, peer_keys, validation


def test_keys_keep_their_form():
    """They stand in the database, in Redis and in the audit trail."""
    assert peer_keys.of_game(7) == "game:7"
    assert peer_keys.of_application(3) == "application:3"
    assert grapevine.KEY == "grapevine"


@pytest.mark.parametrize(
    ("key", "game_id", "application_id"),
    [
        ("game:7", 7, None),
        ("application:3", None, 3),
        ("grapevine", None, None),
        ("game:", None, None),
        ("game:x", None, None),
        ("game:7x", None, None),
        ("", None, None),
    ],
)
def test_a_key_is_read(key, game_id, application_id):
    assert peer_keys.find_game_id(key) == game_id
    assert peer_keys.find_application_id(key) == application_id
    assert peer_keys.is_application(key) == (application_id is not None)


def test_nobody_can_take_the_names_of_grapevine():
    assert {grapevine.KEY, grapevine.SYSTEM} <= validation.SHORT_NAMES_BLOCKED & validation.USERNAMES_BLOCKED
    assert grapevine.is_grapevine("GRAPEvine") and not grapevine.is_grapevine("Grape vine")
