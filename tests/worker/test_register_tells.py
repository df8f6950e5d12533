"""Tells to `system@Grapevine` that register characters, over real sockets (docs/protocol.md, §6)."""

from __future__ import annotations

import threading

from sqlalchemy import select

from shared import db
from shared.models import Character, User

ROUNDS = 5


def tell(client, message, name="Wren"):
    """Send a tell to `system`, and return the text of its answer."""
    payload = {"from_name": name, "to_game": "Grapevine", "to_name": "system", "message": message}
    assert client.request("tells/send", payload)["status"] == "success"
    answer = client.wait_for(
        "tells/receive", payload={"from_game": "Grapevine", "from_name": "system", "to_name": name}
    )
    return answer["payload"]["message"]


def key_of(user):
    with db.reading() as session:
        return session.get(User, user.id).registration_key


def join(client, credentials, **payload):
    client.authenticate(credentials.client_id, credentials.client_secret, supports=["channels", "tells"], **payload)
    return client


def characters_now():
    with db.reading() as session:
        return sorted((row.name, row.user_id, row.state) for row in session.scalars(select(Character)))


def test_each_tell_has_its_answer(any_database, stored, worker, connect):
    """This includes unknown and used keys, taken names, and closed registration. Case and spaces do not matter."""
    wren, robin = stored.user("wren"), stored.user("robin")
    _, credentials = stored.game_with_credentials("Harbour")
    _, closed = stored.game_with_credentials("Closed", allows_character_registration=False)
    _, application = stored.application_with_credentials("App")
    harbour = join(connect(), credentials)
    key = key_of(wren)

    assert "Add your registration key" in tell(harbour, "register")
    assert "Nobody has this registration key" in tell(harbour, "register nonsense")
    assert "does not let players register" in tell(join(connect(), closed), f"register {key}")
    assert "Only games" in tell(join(connect(), application), f"register {key}")
    assert key_of(wren) == key and characters_now() == []

    assert tell(harbour, f"  REGISTER   {key.upper()} ").startswith("Wren waits for you now")
    assert key_of(wren) != key and characters_now() == [("Wren", wren.id, "pending")]
    assert "Nobody has this registration key" in tell(harbour, f"register {key}")
    assert "already waiting for you" in tell(harbour, f"register {key_of(wren)}", name="wren")
    assert "registered to another player" in tell(harbour, f"register {key_of(robin)}")
    answer = tell(harbour, "hello")
    assert 'Tell me "register"' in answer and "/chat " in answer
    assert characters_now() == [("Wren", wren.id, "pending")]
    assert key not in worker.output and key_of(robin) not in worker.output


def test_one_key_over_two_workers_registers_one_character(any_database, stored, start_worker, connect):
    """Two players use the key at the same moment. The second learns that nobody has it any more."""
    user = stored.user("wren")
    _, credentials = stored.game_with_credentials("Harbour")
    clients = [join(connect(start_worker().url), credentials) for _ in range(2)]
    for number in range(ROUNDS):
        key, barrier, answers = key_of(user), threading.Barrier(2), []

        def send(client, name, key=key, barrier=barrier, answers=answers):
            barrier.wait()
            answers.append(tell(client, f"register {key}", name=name))

        threads = [
            threading.Thread(target=send, args=(client, f"Wren{number}{index}")) for index, client in enumerate(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(15)
        assert sorted(answer.split()[0] for answer in answers)[0] == "Nobody", answers
        assert len(answers) == 2 and sum("waits for you now" in answer for answer in answers) == 1
    assert len(characters_now()) == ROUNDS
