"""The admin pages."""

import msgspec
import pytest

from shared import db
from shared.errors import NotFound
from shared.models.credentials import secret_matches
from shared.services import applications, channels, users

PAGES = ["", "/channels", "/channels/new", "/applications", "/applications/new", "/users"]


@pytest.fixture
def admin(stored):
    return stored.admin("warden")


@pytest.fixture
def at_desk(visitor, admin):
    """An admin's browser, signed in."""
    return visitor.sign_in(admin.username)


def stored_channel(name):
    with db.reading() as session:
        return channels.get_channel(session, name)


def stored_application(short_name):
    with db.reading() as session:
        return applications.get_application(session, short_name)


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_are_for_admins(new_visitor, at_desk, stored, page):
    """Players and moderators get 403, the signed-out the sign-in page, and then the page they wanted."""
    path = "/admin" + page
    assert at_desk.client.get(path).status_code == 200
    for role in ("player", "moderator"):
        assert new_visitor().sign_in(stored.user(role=role).username).client.get(path).status_code == 403
    assert new_visitor().client.get(path).location == f"/sign-in?next={path}"


@pytest.mark.parametrize(
    "path", ["channels/gossip/delete", "channels/gossip/hide", "applications/Mirror/delete", "users/warden/role"]
)
def test_a_player_changes_nothing(new_visitor, admin, stored, path):
    """Whatever form is made up, the answer is 403."""
    stored.channel("gossip")
    stored.application("Mirror")
    player = new_visitor().sign_in(stored.user().username)
    assert player.send(f"/admin/{path}", form_on="/manage/games/new", role="player").status_code == 403
    assert not stored_channel("gossip").is_hidden
    assert stored_application("Mirror")


def test_channels_are_created_edited_shown_hidden_and_deleted(at_desk):
    """The life of a channel."""
    at_desk.send("/admin/channels/new", name="tea-room", description="Tea.", is_hidden="y")
    assert stored_channel("tea-room").is_hidden
    at_desk.send("/admin/channels/tea-room/show", form_on="/admin/channels")
    assert not stored_channel("tea-room").is_hidden
    at_desk.send("/admin/channels/tea-room/hide", form_on="/admin/channels")
    assert stored_channel("tea-room").is_hidden
    at_desk.send("/admin/channels/tea-room/edit", name="coffee-room", description="Coffee.")
    channel = stored_channel("coffee-room")
    assert (channel.description, channel.is_hidden) == ("Coffee.", False)
    at_desk.send("/admin/channels/coffee-room/delete", form_on="/admin/channels/coffee-room/edit", follow=True)
    assert "coffee-room is deleted" in at_desk.page
    with pytest.raises(NotFound):
        stored_channel("coffee-room")


def test_a_channels_bad_name_is_named(at_desk, stored):
    """When it is created and when it is edited."""
    stored.channel("gossip")
    stored.channel("testing")
    for path in ("/admin/channels/new", "/admin/channels/testing/edit"):
        assert at_desk.send(path, name="Gossip").status_code == 422
        assert "exists already" in at_desk.problem_of("name")
        assert at_desk.send(path, name="").status_code == 422
        assert at_desk.problem_of("name")


def test_an_applications_secret_is_shown_once(at_desk):
    """After it is created, and after its credentials are made anew."""
    answer = at_desk.send("/admin/applications/new", name="The mirror", short_name="Mirror")
    assert answer.location == "/admin/applications/Mirror"
    at_desk.open(answer.location)
    first = stored_application("Mirror")
    assert at_desk.text_of("client-id") == first.client_id
    assert secret_matches(at_desk.text_of("client-secret"), first.client_secret_digest)
    at_desk.open(answer.location)
    assert at_desk.text_of("client-secret") is None

    at_desk.send("/admin/applications/Mirror/regenerate", form_on="/admin/applications/Mirror", follow=True)
    second = stored_application("Mirror")
    assert second.client_id != first.client_id
    assert secret_matches(at_desk.text_of("client-secret"), second.client_secret_digest)

    at_desk.send("/admin/applications/Mirror/delete", form_on="/admin/applications/Mirror", follow=True)
    assert at_desk.client.get("/admin/applications/Mirror").status_code == 404


def test_an_applications_bad_names_are_named(at_desk, stored):
    """Short names are shared with games."""
    stored.game("Harbour")
    at_desk.send("/admin/applications/new", name="x" * 81, short_name="Harbour")
    assert at_desk.status == 422 and at_desk.problem_of("name")
    at_desk.send("/admin/applications/new", name="Fine", short_name="HARBOUR")
    assert at_desk.status == 422 and "taken" in at_desk.problem_of("short_name")


def test_users_are_found_and_given_roles(at_desk, stored):
    """By name or email; the new role is shown and stored."""
    stored.user("wren")
    for number in range(55):
        stored.user(f"crowd-{number}")
    assert "57 users" in at_desk.open("/admin/users") and "Page 1 of 2" in at_desk.page
    assert "wren" in at_desk.open("/admin/users?q=WREN@exam") and "crowd" not in at_desk.page
    assert "Nobody is found" in at_desk.open("/admin/users?q=nobody")

    at_desk.send("/admin/users/wren/role", form_on="/admin/users", follow=True, role="moderator")
    assert "wren is now moderator" in at_desk.page
    with db.reading() as session:
        assert users.get_user_by_username(session, "wren").role == "moderator"
    assert at_desk.send("/admin/users/wren/role", form_on="/admin/users", role="king").status_code == 422
    assert at_desk.send("/admin/users/ghost/role", form_on="/admin/users", role="player").status_code == 404


def test_the_last_admin_stays_one(at_desk):
    """The refusal is the list again, with the reason on it."""
    answer = at_desk.send("/admin/users/warden/role", form_on="/admin/users", role="player")
    assert answer.status_code == 403
    assert "last admin cannot lose the role" in at_desk.page and "Users and roles" in at_desk.page


def test_a_restart_notice_goes_out(at_desk, valkey):
    """Published once, with the seconds that were typed; nonsense is named beside the field."""
    import redis

    with redis.Redis.from_url(valkey.url) as client, client.pubsub() as listener:
        listener.subscribe("gossip:network")
        assert listener.get_message(timeout=5)["type"] == "subscribe"
        for nonsense in ("", "soon", "-1", "1.5", "99999999"):
            assert at_desk.send("/admin", downtime=nonsense).status_code == 422
            assert at_desk.problem_of("downtime")
            assert at_desk.value_of("downtime") == nonsense
        assert at_desk.send("/admin", downtime="30").status_code == 303
        message = listener.get_message(timeout=5)
    assert msgspec.json.decode(message["data"]) == {"restart": 30}


def test_the_network_page_says_when_redis_is_away(at_desk, own_valkey):
    """Records are still served."""
    own_valkey.stop()
    assert "Redis is away" in at_desk.open("/admin")
    assert at_desk.status == 200


def test_channels_that_games_made_name_their_game_and_unused_ones_are_found(visitor, stored):
    stored.channel("gossip")
    with db.transaction() as session:
        channels.ensure_channel(session, name="gosip", made_by="MidMUD")
    visitor.sign_in(stored.admin().username)
    page = visitor.open("/admin/channels")
    assert "MidMUD" in page and "1 hidden, with nothing said on it" in page
    page = visitor.open("/admin/channels?unused=y")
    assert "gosip" in page and "gossip" not in page.split("<main")[1]
