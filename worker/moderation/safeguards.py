"""Which speakers are newcomers, for raid protection and probation. Pure: no session, no socket, no clock."""

from __future__ import annotations

from datetime import datetime

from shared import grapevine, peer_keys
from shared.services.moderation.safeguards import SETTLED_HOURS, Safeguards
from worker.moderation.sanctions import Speaker

HOUR = 3600.0


class SafeguardRules:
    """Answers from one reading of the safeguards. `Moderation` reads them again regularly while one is on."""

    def __init__(self, safeguards: Safeguards = Safeguards()) -> None:
        self._safeguards = safeguards
        self.slow_seconds = safeguards.slow_seconds
        self.refuses_links = safeguards.refuses_links
        self._raid_until = 0.0 if safeguards.raid_until is None else safeguards.raid_until.timestamp()

    @property
    def is_needed(self) -> bool:
        """Whether a safeguard was on when they were read."""
        return self._raid_until > 0 or self._safeguards.probation_hours > 0

    def raid_end(self, now: float) -> float | None:
        """Return when raid protection ends, in Unix time. None while it is off."""
        return self._raid_until if self._raid_until > now else None

    def may_speak_in_a_raid(self, speaker: Speaker, now: float) -> bool:
        """Return whether a speaker is settled: approved, or of a game or account that is older than a day."""
        return not self._is_younger(speaker, now, SETTLED_HOURS)

    def is_on_probation(self, speaker: Speaker, now: float) -> bool:
        """Return whether a speaker's account or game is new."""
        hours = self._safeguards.probation_hours
        return hours > 0 and self._is_younger(speaker, now, hours)

    def _is_younger(self, speaker: Speaker, now: float, hours: int) -> bool:
        safeguards = self._safeguards
        if speaker.peer == grapevine.KEY:
            if speaker.user_id is None or speaker.user_id in safeguards.known_users:
                return False
            created_at = safeguards.young_users.get(speaker.user_id)
            is_newer = speaker.user_id > safeguards.newest_user
        else:
            game_id = peer_keys.find_game_id(speaker.peer)
            if game_id is None or (game_id, speaker.key) in safeguards.approved:
                return False
            created_at = safeguards.young_games.get(game_id)
            is_newer = game_id > safeguards.newest_game
        return is_newer or (created_at is not None and _age(created_at, now) < hours * HOUR)


def _age(created_at: datetime, now: float) -> float:
    return now - created_at.timestamp()
