"""Who may play: the page's token, the account, bans, and what the game's owner allows. Uses the database."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from shared.addresses import counted_address
from shared.db import reading
from shared.errors import DomainError, Forbidden, InvalidCredentials
from shared.play_tokens import PlayToken
from shared.services import chat_accounts, play, sessions
from shared.services.authority import actors
from shared.services.authority.permissions import Act, may
from shared.services.moderation import sanctions
from shared.services.play import PlayTarget


@dataclass(frozen=True, slots=True)
class Access:
    """Who plays. address: where the page is."""

    token: PlayToken
    address: str

    @property
    def person(self) -> str:
        """What the cap for each person counts: an account, or the address of guests."""
        return f"guest {counted_address(self.address)}" if self.token.user_id is None else f"user {self.token.user_id}"


def admit(access: Access) -> PlayTarget:
    """Return where the session connects to. Raises DomainError: it may not."""
    with reading() as session:
        return _admit(session, access)


def find_refusal(access: Access, target: PlayTarget) -> str | None:
    """Return why a session must end, as a sentence for the player. None if it may go on."""
    try:
        with reading() as session:
            now = _admit(session, access)
    except DomainError as error:
        return error.message
    if (now.connection_id, now.host, now.port) != (target.connection_id, target.host, target.port):
        return "the game's owner has changed its address"
    return None


def _admit(session: Session, access: Access) -> PlayTarget:
    token = access.token
    actor = actors.of_user(session, token.user_id)
    if token.user_id is not None:
        account = chat_accounts.list_chat_accounts(session, [token.user_id]).get(token.user_id)
        if account is None or account.mark != token.mark or sessions.list_ended(session, [token.session_number]):
            raise InvalidCredentials("you are signed out")
        if sanctions.find_site_ban(session, token.user_id) is not None:
            raise Forbidden("you are banned from this network")
    if not may(actor, Act.SEE) and sanctions.find_address_ban(session, access.address) is not None:
        raise Forbidden("your address is banned from this network")
    return play.get_target(session, actor, game_id=token.game_id)
