"""The network that the bench plays: two games with players, and an answer to each request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gossip_client.bench.client_frames import CHANNEL, RULES, fields_of
from gossip_client.core import PROTOCOL_VERSION

GAMES = {"Riverbend": ["Ann", "Bert"], "Hollow": []}
TOLD = "Ann"
FIRST_GAME = "Riverbend"

Json = dict[str, Any]


def accept(ref: Any) -> Json:
    """Return the answer to `authenticate`."""
    return _answer("authenticate", ref, {"unicode": "✔️", "version": PROTOCOL_VERSION})


def refuse(ref: Any) -> Json:
    """Return the answer to `authenticate` with wrong credentials."""
    return failure("authenticate", ref, "invalid credentials", "invalid-credentials")


def failure(event: str, ref: Any, error: str, code: str) -> Json:
    """Return a failure."""
    frame = {"event": event, "status": "failure", "error": error, "code": code}
    return frame if ref is None else {**frame, "ref": ref}


def answers_to(frame: Mapping[str, Any], channels: set[str]) -> list[Json]:
    """Return the answers to a request. Changes the socket's channels.

    Args:
        channels: The channels that the socket has subscribed to, in lower case.
    """
    event, ref, fields = frame["event"], frame.get("ref"), fields_of(frame)
    if event == "heartbeat":
        return []
    if event not in RULES:
        error = failure(event, ref, "unknown event", "unknown-event")
        return [error if ref is not None else {**error, "event": "error", "ref": "bench-error"}]
    channel = str(fields.get("channel", "")).lower()
    is_refused = event == "channels/subscribe" and not CHANNEL.fullmatch(channel)
    if event == "channels/subscribe" and not is_refused:
        channels.add(channel)
    elif event == "channels/unsubscribe":
        channels.discard(channel)
    if ref is None:
        return []
    if is_refused:
        return [failure(event, ref, f"Could not subscribe to {channel!r}", "channel-refused")]
    if event in ("channels/send", "channels/history") and channel not in channels:
        return [failure(event, ref, f"not subscribed to {channel!r}", "not-subscribed")]
    if event == "channels/history":
        return [_answer(event, ref, {"channel": fields.get("channel"), "messages": [], "more": False})]
    if event in ("players/status", "games/status"):
        return _status(event, ref, fields.get("game"))
    if event == "tells/send":
        return [_tell(ref, fields)]
    return [{"event": event, "ref": ref, "status": "success"}]


def broadcast(channel: str, message: str, version: str, *, number: int, **more: Any) -> Json:
    """Return a line of a player, as a client of this version gets it."""
    payload = {"channel": channel, "message": message, "game": FIRST_GAME, "name": TOLD, **more}
    if _numbers(version) >= (2, 4, 0):
        payload |= {"id": number, "sent_at": "2026-11-23T06:15:44Z"}
    return {"event": "channels/broadcast", "ref": f"bench-{number}", "payload": payload}


def _numbers(version: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in version.split("."))
    except ValueError:
        return (1, 0, 0)


def _answer(event: str, ref: Any, payload: Json) -> Json:
    frame = {"event": event, "status": "success", "payload": payload}
    return frame if ref is None else {**frame, "ref": ref}


def _find_game(name: object) -> str | None:
    wanted = str(name).strip().lower()
    return next((game for game in GAMES if game.lower() == wanted), None)


def _status(event: str, ref: Any, game: object) -> list[Json]:
    if game is not None and _find_game(game) is None:
        return [failure(event, ref, "unknown game", "unknown-game")]
    games = list(GAMES) if game is None else [str(_find_game(game))]
    if event == "players/status":
        return [{"event": event, "ref": ref, "payload": {"game": name, "players": GAMES[name]}} for name in games]
    return [
        _answer(
            event,
            ref,
            {
                "game": name,
                "display_name": f"The {name}",
                "user_agent": "bench",
                "connections": [{"type": "telnet", "host": "game.example.com", "port": 4000}],
                "supports": ["channels", "players", "tells", "games"],
                "channels": ["gossip"],
                "players_online_count": len(GAMES[name]),
                "player_online_count": len(GAMES[name]),
            },
        )
        for name in games
    ]


def _tell(ref: Any, fields: Json) -> Json:
    game = _find_game(fields.get("to_game"))
    if game is None:
        return failure("tells/send", ref, "game offline", "game-offline")
    if str(fields.get("to_name", "")).lower() not in [name.lower() for name in GAMES[game]]:
        return failure("tells/send", ref, "receiving player offline", "player-offline")
    return {"event": "tells/send", "ref": ref, "status": "success"}
