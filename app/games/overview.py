"""The public channels and games, kept until a synced record changes: pages that list them only ask for the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import current_app, render_template, request
from markupsafe import Markup
from sqlalchemy.orm import Session

from app.online import OnlineNow
from shared.models import Channel, Game
from shared.services import channels, game_lists, versions
from shared.services.game_lists import PublicGames


@dataclass(frozen=True, slots=True)
class Overview:
    """What is on the network.

    Attributes:
        ids: All displayed games: those online, then the others, each by name.
        online: The displayed games online, by name.
        picked: A random sample of the displayed games online.
    """

    cursor: int
    now: OnlineNow
    channels: Sequence[Channel]
    public: PublicGames
    ids: Sequence[int]
    online: Sequence[int]
    players_online: int
    picked: Sequence[Game]

    def cards_of(self, session: Session, ids: Sequence[int]) -> Markup:
        """Return the cards of these games, read and rendered once for each reading of presence and state of the log."""

        def render() -> Markup:
            games = game_lists.list_cards(session, ids)
            return Markup(render_template("games/cards.html", games=games, online=self.now.games))

        return self.now.once((request.root_path, "cards", self.cursor, tuple(ids)), render)


def read_overview(session: Session, now: OnlineNow) -> Overview:
    """Return the overview at the session's state of the database.

    Takes one statement, unless a synced record has changed or presence has been read again.
    """
    cursor = versions.last_cursor(session)
    last: Overview | None = current_app.extensions.get("overview")
    if last is not None and last.cursor == cursor and last.now is now:
        return last
    if last is not None and last.cursor == cursor:
        channels_, public = last.channels, last.public
    else:
        channels_, public = channels.list_public_channels(session), game_lists.read_public_games(session)
    ids = public.online_first(now.games)
    online = ids[: sum(game_id in now.games for game_id in ids)]
    picked = game_lists.pick_games(session, public, online)
    overview = Overview(cursor, now, channels_, public, ids, online, now.count_players(online), picked)
    current_app.extensions["overview"] = overview
    return overview
