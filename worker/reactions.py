"""What the other parts do when one part has changed. Read this to see who follows what.

Nothing here may wait: what has to wait runs in its own greenlet.
"""

from __future__ import annotations

import gevent

from shared import grapevine, peer_keys
from shared.peer_keys import PeerKey
from shared.services.authority.changes import Part
from shared.services.versions import Change
from shared.signals import (
    AccountChanged,
    ChecksDue,
    CredentialsRevoked,
    LinesStored,
    ModerationChanged,
    RestartAnnounced,
    VersionsLogged,
)
from worker.chat.browser_notices import BrowserNotices
from worker.chat.catch_up import RemoteLines
from worker.database import Announcements
from worker.jobs.checks import Checks
from worker.moderation.bans import Bans
from worker.network.notices import Notices
from worker.parts import Parts


class Reactions:
    """Connects the parts of one worker."""

    def __init__(
        self,
        parts: Parts,
        *,
        bans: Bans,
        notices: Notices,
        browser_notices: BrowserNotices,
        checks: Checks,
        remote_lines: RemoteLines,
    ) -> None:
        self._parts = parts
        self._bans = bans
        self._notices = notices
        self._browser_notices = browser_notices
        self._checks = checks
        self._remote_lines = remote_lines

    def connect(self) -> None:
        """Subscribe to the signals and set the callbacks of the parts. Call this before any of them starts."""
        parts = self._parts
        parts.signals.on(VersionsLogged, lambda signal: parts.feed.wake())
        parts.signals.on(RestartAnnounced, lambda signal: parts.peers.announce_restart(signal.downtime_seconds))
        parts.signals.on(CredentialsRevoked, self._credentials_revoked)
        parts.signals.on(AccountChanged, lambda signal: gevent.spawn(parts.browsers.check, [signal.user_id]))
        parts.signals.on(ChecksDue, lambda signal: self._checks.wake())
        parts.signals.on_connected(parts.feed.wake)
        parts.signals.on_connected(parts.credentials.check)
        parts.authenticator.on_position = self._remote_lines.note
        parts.presence.on_worker_lost = self._remote_lines.worker_lost
        parts.database.on_announcements = self._committed
        parts.feed.on_changes = self._log_changed
        parts.feed.on_reset = parts.replicas.start_over
        parts.presence.on_change = self._presence_changed
        parts.moderation.on_change = self._moderation_changed

    def _committed(self, announcements: Announcements) -> None:
        """Publish what a commit of this worker announced. Its own parts need not wait for Redis to return it."""
        parts = self._parts
        for signal in announcements:
            parts.signals.publish(signal)
            if isinstance(signal, VersionsLogged):
                parts.feed.wake()
            elif isinstance(signal, LinesStored):
                self._remote_lines.follow(signal)
            elif isinstance(signal, ModerationChanged):
                parts.moderation.follow(signal)

    def _credentials_revoked(self, signal: CredentialsRevoked) -> None:
        self._parts.authenticator.peer_changed(signal.peer)
        self._parts.credentials.peer_revoked(signal.peer)

    def _log_changed(self, changed: list[Change]) -> None:
        """Apply new entries of the log. The feed calls this, in order, once the directory has them."""
        parts = self._parts
        for change in changed:
            if change.kind == "channels":
                parts.statuses.channels_changed()
                parts.browsers.channel_changed(change.record_id)
                if change.record is None:
                    parts.subscriptions.remove_channel(change.record_id)
            elif change.kind == "games":
                key = peer_keys.of_game(change.record_id)
                parts.statuses.changed(key)
                parts.authenticator.peer_changed(key)
                parts.peers.game_changed(change)
        parts.replicas.broadcast(changed)

    def _presence_changed(self, peer: PeerKey, is_news: bool) -> None:
        if peer == grapevine.KEY:
            self._browser_notices.changed(is_news)
        else:
            self._notices.changed(peer, is_news)
        self._parts.statuses.changed(peer)

    def _moderation_changed(self, changed: frozenset[Part]) -> None:
        """Enforce what moderators decided. Called after the moderation view has changed."""
        if Part.SANCTIONS in changed:
            self._bans.enforce()
            self._parts.browsers.sanctions_changed()
        if Part.CHANNELS in changed:
            self._parts.browsers.channel_limits_changed()
        if Part.APPLICATIONS in changed:
            self._parts.peers.scopes_changed()
