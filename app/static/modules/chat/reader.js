// Pages of visitors: lines as they come, without an account. On a channel's page, in the list of channels, and on the home
// page, which shows the last lines of one channel.

import { openLink } from "../link/link.js";
import { Announcer } from "./announcer.js";
import { byId } from "./dom.js";
import { Log } from "./log.js";

const SILENCE_SECONDS = 35;

const chat = byId("chat");
const index = byId("chat-index");
const terminal = byId("home-lines");
const page = chat ?? index ?? terminal;

function connect(channels, onLine, { onState = () => {}, onFrame = () => {} } = {}) {
  const link = openLink({ user: "", options: { socket: page.dataset.socket, silence: Number(page.dataset.silence ?? SILENCE_SECONDS), channels } }, false);
  link.onState(onState);
  link.onFrame((event, payload) => {
    if (event === "channels/broadcast") onLine(payload);
    else onFrame(event, payload);
  });
  return link;
}

function readChannel() {
  const state = byId("chat-state");
  const log = new Log(chat, { username: "", mentions: () => false, isInteractive: false });
  const announcer = new Announcer();
  const here = byId("chat-here");
  here.open = matchMedia("(min-width: 62rem)").matches;
  if (!log.isLatest) return;
  connect(
    [chat.dataset.channel],
    (line) => {
      const row = line.channel === chat.dataset.channel && log.append(line);
      if (row) announcer.line(row);
    },
    {
      async onState({ name }) {
        state.dataset.kind = name === "joined" ? "good" : "";
        state.textContent = name === "joined" ? "Live" : "Not live. Trying again…";
        if (name === "joined") {
          const missed = await log.fillGap().catch(() => []);
          if (missed === null) location.reload();
        }
      },
      onFrame(event, payload) {
        if (event === "channels/redacted") log.redact(payload.id);
      },
    },
  );
}

async function readIndex() {
  const { channels, showInIndex } = await import("./index-rows.js");
  connect(channels, showInIndex);
}

async function readHome() {
  const { catchUp, showOnHome } = await import("./home-lines.js");
  connect([terminal.dataset.channel], showOnHome, {
    onState({ name }) {
      if (name === "joined") catchUp();
    },
  });
}

if (chat) readChannel();
else if (index) readIndex();
else if (terminal) readHome();
