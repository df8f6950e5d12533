"""Forms are accepted from this site's pages only, whichever headers a browser sends to say so."""

import pytest

from app import create_app
from tests.app.conftest import TOKEN

HERE = "https://gossip.example"


@pytest.fixture
def client(make_settings, engine):
    """A browser on a site with TLS."""
    return create_app(make_settings(PUBLIC_URL=HERE)).test_client()


def _post(client, headers: dict[str, str], *, base_url: str = HERE, with_token: bool = True) -> int:
    token = TOKEN.search(client.get("/sign-in", base_url=base_url).text)[1] if with_token else ""
    fields = {"csrf_token": token, "login": "nobody", "password": "wrong"}
    return client.post("/sign-in", data=fields, headers=headers, base_url=base_url).status_code


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 422),
        ({"Referer": f"{HERE}/sign-in"}, 422),
        ({"Origin": HERE}, 422),
        ({"Sec-Fetch-Site": "same-origin"}, 422),
        ({"Sec-Fetch-Site": "none"}, 422),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, 422),
        ({"Origin": HERE, "Sec-Fetch-Site": "same-origin", "Referer": f"{HERE}/sign-in"}, 422),
        ({"Origin": "null"}, 400),
        ({"Origin": ""}, 400),
        ({"Origin": "http://gossip.example"}, 400),
        ({"Origin": "https://gossip.example.evil.example"}, 400),
        ({"Origin": "https://gossip.example:8443"}, 400),
        ({"Origin": "https://GOSSIP.example"}, 400),
        ({"Origin": f"{HERE}/"}, 400),
        ({"Origin": f"https://evil.example {HERE}"}, 400),
        ({"Origin": "https://evil.example", "Referer": f"{HERE}/sign-in"}, 400),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, 400),
        ({"Sec-Fetch-Site": "cross-site"}, 400),
        ({"Sec-Fetch-Site": "same-site"}, 400),
        ({"Sec-Fetch-Site": "cross-site", "Origin": HERE}, 400),
        ({"Sec-Fetch-Site": "nonsense"}, 400),
        ({"Referer": "https://evil.example/https://gossip.example/"}, 400),
        ({"Referer": "http://gossip.example/sign-in"}, 400),
    ],
)
def test_forms_of_other_sites_are_refused(client, headers, status):
    assert _post(client, headers) == status


@pytest.mark.parametrize("headers", [{"Origin": HERE}, {"Sec-Fetch-Site": "same-origin"}, {}])
def test_the_token_is_always_required(client, headers):
    assert _post(client, headers, with_token=False) == 400


def test_the_public_host_may_have_letters_beyond_ascii(make_settings, engine):
    """Browsers write it in Punycode, also when a proxy passes on another host."""
    client = create_app(make_settings(PUBLIC_URL="https://gössip.example")).test_client()
    base_url = "https://127.0.0.1:4100"
    assert _post(client, {"Origin": "https://xn--gssip-jua.example"}, base_url=base_url) == 422
    assert _post(client, {"Origin": "https://gossip.example"}, base_url=base_url) == 400


def test_a_proxy_need_not_pass_on_the_host(client):
    """Then only PUBLIC_URL tells the site its origin."""
    assert _post(client, {"Origin": HERE}, base_url="https://127.0.0.1:4100") == 422
    assert _post(client, {"Origin": "https://127.0.0.1:4100"}, base_url="https://127.0.0.1:4100") == 422
