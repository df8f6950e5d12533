"""All events of the protocol, by direction. Source: docs/protocol.md. Pure: no I/O, no clock.

A name may be in both tables, because requests share it with their answers or notices. A success answer without a
payload has no class.
"""

from shared.protocol import channels, core, games, moderation, players, sync, tells
from shared.protocol.base import Incoming, Outgoing

INCOMING: dict[str, type[Incoming]] = {
    cls.event: cls
    for cls in (
        core.Authenticate,
        core.Heartbeat,
        channels.Subscribe,
        channels.Unsubscribe,
        channels.SendMessage,
        channels.RequestHistory,
        players.SignIn,
        players.SignOut,
        players.RequestPlayers,
        tells.SendTell,
        games.RequestGames,
        sync.RequestSync,
        moderation.PauseChannel,
        moderation.ResumeChannel,
        moderation.ImposeSanction,
        moderation.LiftSanction,
        moderation.RedactMessage,
        moderation.CreateReport,
    )
}

OUTGOING: dict[str, type[Outgoing]] = {
    cls.event: cls
    for cls in (
        core.AuthenticateSuccess,
        core.SendHeartbeat,
        core.Restart,
        core.Error,
        channels.Broadcast,
        channels.HistoryAnswer,
        players.PlayerSignedIn,
        players.PlayerSignedOut,
        players.PlayerStatus,
        tells.ReceiveTell,
        games.GameConnected,
        games.GameDisconnected,
        games.GameStatus,
        sync.SyncChannels,
        sync.SyncGames,
        sync.SyncComplete,
        moderation.SanctionAnswer,
        moderation.ModerationAct,
        moderation.ReportAnswer,
    )
}
