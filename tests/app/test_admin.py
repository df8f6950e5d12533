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
def admin_browser(visitor, admin):
    """An admin's browser, signed in."""
    return visitor.sign_in(admin.username)


def stored_channel(name):
    with db.reading() as session:
        return channels.get_channel(session, name)


def stored_application(short_name):
    with db.reading() as session:
        return applications.get_application(session, short_name)


@pytest.mark.parametrize("page", PAGES)
def test_only_admins_can_open_the_pages(new_visitor, admin_browser, stored, page):
    """Players and moderators get 403. Signed-out visitors get the sign-in page, then the requested page."""
    path = "/admin" + page
    assert admin_browser.client.get(path).status_code == 200
    for role in ("player", "moderator"):
        assert new_visitor().sign_in(stored.user(role=role).username).client.get(path).status_code == 403
    assert new_visitor().client.get(path).location == f"/sign-in?next={path}"


@pytest.mark.parametrize(
    "path", ["channels/gossip/delete", "channels/gossip/hide", "applications/Mirror/delete", "users/warden/role"]
)
def test_a_player_cannot_change_anything(new_visitor, admin, stored, path):
    """Every form returns 403."""
    stored.channel("gossip")
    stored.application("Mirror")
    player = new_visitor().sign_in(stored.user().username)
    assert player.send(f"/admin/{path}", form_on="/manage/games/new", role="player").status_code == 403
    assert not stored_channel("gossip").is_hidden
    assert stored_application("Mirror")


def test_channels_are_created_edited_shown_hidden_and_deleted(admin_browser):
    """The whole life of a channel."""
    admin_browser.send("/admin/channels/new", name="tea-room", description="Tea.", is_hidden="y")
    assert stored_channel("tea-room").is_hidden
    admin_browser.send("/admin/channels/tea-room/show", form_on="/admin/channels")
    assert not stored_channel("tea-room").is_hidden
    admin_browser.send("/admin/channels/tea-room/hide", form_on="/admin/channels")
    assert stored_channel("tea-room").is_hidden
    admin_browser.send("/admin/channels/tea-room/edit", name="coffee-room", description="Coffee.")
    channel = stored_channel("coffee-room")
    assert (channel.description, channel.is_hidden) == ("Coffee.", False)
    admin_browser.send("/admin/channels/coffee-room/delete", form_on="/admin/channels/coffee-room/edit", follow=True)
    assert "coffee-room has been deleted" in admin_browser.page
    with pytest.raises(NotFound):
        stored_channel("coffee-room")


def test_a_bad_channel_name_is_shown_beside_the_field(admin_browser, stored):
    """When creating and when editing a channel."""
    stored.channel("gossip")
    stored.channel("testing")
    for path in ("/admin/channels/new", "/admin/channels/testing/edit"):
        assert admin_browser.send(path, name="Gossip").status_code == 422
        assert "already a channel with this name" in admin_browser.problem_of("name")
        assert admin_browser.send(path, name="").status_code == 422
        assert admin_browser.problem_of("name")


def test_an_applications_secret_is_shown_once(admin_browser):
    """After it is created, and after its credentials are regenerated."""
    answer = admin_browser.send("/admin/applications/new", name="The mirror", short_name="Mirror")
    assert answer.location == "/admin/applications/Mirror"
    admin_browser.open(answer.location)
    first = stored_application("Mirror")
    assert admin_browser.text_of("client-id") == first.client_id
    assert secret_matches(admin_browser.text_of("client-secret"), first.client_secret_digest)
    admin_browser.open(answer.location)
    assert admin_browser.text_of("client-secret") is None

    admin_browser.send("/admin/applications/Mirror/regenerate", form_on="/admin/applications/Mirror", follow=True)
    second = stored_application("Mirror")
    assert second.client_id != first.client_id
    assert secret_matches(admin_browser.text_of("client-secret"), second.client_secret_digest)

    admin_browser.send("/admin/applications/Mirror/delete", form_on="/admin/applications/Mirror", follow=True)
    assert admin_browser.client.get("/admin/applications/Mirror").status_code == 404


def test_bad_application_names_are_shown_beside_the_field(admin_browser, stored):
    """Short names are unique among games and applications."""
    stored.game("Harbour")
    admin_browser.send("/admin/applications/new", name="x" * 81, short_name="Harbour")
    assert admin_browser.status == 422 and admin_browser.problem_of("name")
    admin_browser.send("/admin/applications/new", name="Fine", short_name="HARBOUR")
    assert admin_browser.status == 422 and "taken" in admin_browser.problem_of("short_name")


def test_users_are_searched_and_get_roles(admin_browser, stored):
    """By name or email. The new role is shown and stored."""
    stored.user("wren")
    for number in range(55):
        stored.user(f"crowd-{number}")
    assert "57 users" in admin_browser.open("/admin/users") and "Page 1 of 2" in admin_browser.page
    assert "wren" in admin_browser.open("/admin/users?q=WREN@exam") and "crowd" not in admin_browser.page
    assert "No users match" in admin_browser.open("/admin/users?q=nobody")

    admin_browser.send("/admin/users/wren/role", form_on="/admin/users", follow=True, role="moderator")
    assert "wren is now moderator" in admin_browser.page
    with db.reading() as session:
        assert users.get_user_by_username(session, "wren").role == "moderator"
    assert admin_browser.send("/admin/users/wren/role", form_on="/admin/users", role="king").status_code == 422
    assert admin_browser.send("/admin/users/ghost/role", form_on="/admin/users", role="player").status_code == 404


def test_the_last_admin_stays_an_admin(admin_browser):
    """The list is shown again with the reason."""
    answer = admin_browser.send("/admin/users/warden/role", form_on="/admin/users", role="player")
    assert answer.status_code == 403
    assert "last admin cannot lose the role" in admin_browser.page and "Users and roles" in admin_browser.page


def test_a_restart_notice_is_published(admin_browser, valkey):
    """It is published once with the typed seconds. Bad input is shown beside the field."""
    import redis

    with redis.Redis.from_url(valkey.url) as client, client.pubsub() as listener:
        listener.subscribe("gossip:network")
        assert listener.get_message(timeout=5)["type"] == "subscribe"
        for nonsense in ("", "soon", "-1", "1.5", "99999999"):
            assert admin_browser.send("/admin", downtime=nonsense).status_code == 422
            assert admin_browser.problem_of("downtime")
            assert admin_browser.value_of("downtime") == nonsense
        assert admin_browser.send("/admin", downtime="30").status_code == 303
        message = listener.get_message(timeout=5)
    assert msgspec.json.decode(message["data"]) == {"restart": 30}


def test_the_network_page_says_when_redis_is_down(admin_browser, own_valkey):
    """Records are still shown."""
    own_valkey.stop()
    assert "Redis is down" in admin_browser.open("/admin")
    assert admin_browser.status == 200


def test_the_list_shows_which_game_created_a_channel_and_which_are_unused(visitor, stored):
    stored.channel("gossip")
    with db.transaction() as session:
        channels.ensure_channel(session, name="gosip", made_by="MidMUD")
    visitor.sign_in(stored.admin().username)
    page = visitor.open("/admin/channels")
    assert "MidMUD" in page and "1 hidden and never used" in page
    page = visitor.open("/admin/channels?unused=y")
    assert "gosip" in page and "gossip" not in page.split("<main")[1]
