"""The public pages of channels, and proposals."""

import pytest

from shared import db
from shared.models import Message, User
from shared.services import channels
from shared.services.authority import actors
from shared.services.authority.actors import OPERATOR


def stored_channel(name):
    with db.reading() as session:
        return channels.get_channel(session, name)


def test_lists_show_public_channels_only(visitor, stored):
    """A hidden channel is not listed, and strangers get 404."""
    stored.channel("gossip", description="All <b>sorts</b>.")
    stored.channel("cellar", is_hidden=True)
    assert visitor.client.get("/channels").location == "/chat"
    page = visitor.client.get("/chat").get_data(as_text=True)
    assert "gossip" in page and "All &lt;b&gt;sorts" in page and "cellar" not in page
    assert visitor.client.get("/channels/GOSSIP").status_code == 200
    assert visitor.client.get("/channels/cellar").status_code == 404
    assert visitor.client.get("/channels/nowhere").status_code == 404


def test_an_owner_proposes_and_describes_a_channel(new_visitor, stored):
    """It is hidden. Its owner sees it among the proposals; others do not."""
    owner = stored.user()
    stored.game(owner=owner)
    owner_browser = new_visitor().sign_in(owner.username)
    answer = owner_browser.send("/channels/new", name="poetry", description="Haiku.")
    assert answer.location == "/channels/poetry"
    channel = stored_channel("poetry")
    assert channel.is_hidden and channel.proposed_by_id == owner.id
    assert "poetry" in owner_browser.open("/chat")

    owner_browser.send("/channels/poetry/edit", description="Haiku and limericks.")
    assert stored_channel("poetry").description == "Haiku and limericks."

    stranger = new_visitor().sign_in(stored.user().username)
    assert stranger.client.get("/channels/poetry").status_code == 404
    assert stranger.client.get("/channels/poetry/edit").status_code == 404


def test_only_the_proposer_describes_a_public_channel(new_visitor, stored):
    """Everyone sees it, but others are refused."""
    stored.channel("gossip")
    stranger = new_visitor().sign_in(stored.user().username)
    assert stranger.client.get("/channels/gossip/edit").status_code == 403
    answer = stranger.send("/channels/gossip/edit", form_on="/manage/games/new", description="Mine now.")
    assert answer.status_code == 403


def test_only_owners_of_games_propose_channels(new_visitor, stored):
    """The page explains that, and a form sent anyway is refused."""
    visitor = new_visitor().sign_in(stored.user().username)
    assert "Register your game" in visitor.open("/channels/new")
    assert visitor.send("/channels/new", form_on="/manage/games/new", name="poetry").status_code == 403
    assert new_visitor().client.get("/channels/new").location == "/sign-in?next=/channels/new"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "Give the channel a name"),
        ("ab", "3 to 15"),
        ("has space", "3 to 15"),
        ("digits1", "3 to 15"),
        ("x" * 16, "too long"),
        ("ALL", "not allowed"),
        ("GOSSIP", "already a channel with this name"),
    ],
)
def test_a_bad_name_is_shown_beside_the_field(new_visitor, stored, name, words):
    """The input is kept."""
    owner = stored.user()
    stored.game(owner=owner)
    stored.channel("gossip")
    visitor = new_visitor().sign_in(owner.username)
    assert visitor.send("/channels/new", name=name, description="Kept.").status_code == 422
    assert words in visitor.problem_of("name")
    assert visitor.value_of("name") == name
    assert "Kept." in visitor.page


def test_a_channels_page_shows_its_proposer_and_latest_messages(visitor, stored):
    """User input is escaped."""
    owner = stored.user("wren")
    stored.game("Harbour", owner=owner)
    with db.transaction() as session:
        channel = channels.propose_channel(session, actors.of_user(session, owner.id), name="birds")
        channels.update_channel(session, OPERATOR, name="birds", is_hidden=False)
        for number in range(1, 8):
            line = {"peer": "game:1", "game": "Harbour", "name": "Odo", "worker": "w", "sent_at": db.utc_now()}
            session.add(Message(id=number, channel_id=channel.id, text=f"<i>line {number}</i>", **line))
    page = visitor.open("/channels/birds")
    assert 'proposed by <a href="/players/wren">' in page and 'href="/chat/birds"' in page
    assert "line 7" in page and "line 3" in page and "line 2" not in page
    assert "&lt;i&gt;line 7" in visitor.answer.get_data(as_text=True)
    with db.transaction() as session:
        session.get(User, owner.id).is_profile_hidden = True
    assert "wren" not in visitor.open("/channels/birds")
