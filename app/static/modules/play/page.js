// The page that plays a game: connects, shows the output, sends what is typed.

import { Ansi } from "./ansi.js";
import { Gauges } from "./gauges.js";
import { History } from "./history.js";
import { Lines } from "./lines.js";
import { Link } from "./link.js";
import { Settings } from "./settings.js";
import { Voice } from "./voice.js";

const byId = (id) => document.getElementById(id);
const PROMPT_SECONDS = 0.4; // after so long without a line end, unfinished text counts as a prompt
const RESIZE_SECONDS = 0.3;

const play = byId("play");
const log = byId("play-log");
const input = byId("play-text");
const news = byId("play-news");
const connectButton = byId("play-connect");
const disconnectButton = byId("play-disconnect");
const { game, name } = play.dataset;

const voice = new Voice(byId("play-announcer"));
const gauges = new Gauges(byId("play-gauges"));
const history = new History();
const lines = new Lines(log, onLine);
let link = null; // until the settings are applied
let ansi = new Ansi();
let isHidden = false;
let replayTo = 0; // what a reload shows again is not announced again
let promptTimer = 0;
let resizeTimer = 0;
let reviewed = null;

const settings = new Settings(apply);
if (new URLSearchParams(location.search).get("reader") === "on") settings.set("reader", (byId("play-reader").checked = true));

link = new Link(play.dataset, onState, onMessage);

function apply(setting, value) {
  if (setting === "size") play.style.setProperty("--play-size", `${value}%`);
  else if (setting === "height") play.style.setProperty("--play-height", value / 100);
  else if (setting === "font") play.style.setProperty("--play-font", value === "sans" ? "var(--sans)" : "var(--mono)");
  else if (setting === "announce") voice.announces = value;
  else if (setting === "speak") {
    voice.speaks = value && "speechSynthesis" in globalThis;
    if (!value) voice.stop();
  } else if (setting === "voice") voice.voice = value;
  else if (setting === "rate") voice.rate = value / 100;
  else if (setting === "words") lines.highlight(value.split(",").map((word) => word.trim()).filter(Boolean));
  else if (setting === "notify" && value) globalThis.Notification?.requestPermission?.();
  else if (setting === "encoding" && link?.isPlaying && value) link.send({ event: "encoding", encoding: value });
  if (["size", "font"].includes(setting)) resizeSoon();
}

// What the game gets to know about the page.
function terminal() {
  const probe = document.createElement("span");
  probe.append("0".repeat(50));
  log.append(probe);
  const width = probe.getBoundingClientRect().width / 50 || 8;
  probe.remove();
  const style = getComputedStyle(log);
  const inner = log.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const height = parseFloat(style.lineHeight) || 20;
  return {
    columns: Math.max(20, Math.min(250, Math.floor(inner / width))),
    rows: Math.max(5, Math.min(200, Math.floor(log.clientHeight / height))),
    uses_screen_reader: settings.values.reader,
    encoding: settings.values.encoding,
  };
}

function resizeSoon() {
  clearTimeout(resizeTimer);
  resizeTimer = setTimeout(() => {
    if (!link?.isPlaying) return;
    const { columns, rows } = terminal();
    link.send({ event: "resize", columns, rows });
  }, RESIZE_SECONDS * 1000);
}
new ResizeObserver(resizeSoon).observe(log);

function onState(state, text) {
  const sentences = {
    connecting: "Connecting …",
    playing: "Connected.",
    lost: "The connection was lost. Trying again …",
    ended: text ? `Not connected: ${text.replace(/\.$/, "")}.` : "Not connected.",
    "signed-out": text,
  };
  byId("play-state").textContent = sentences[state];
  connectButton.hidden = state !== "ended" && state !== "signed-out";
  disconnectButton.hidden = state !== "playing" && state !== "lost";
  if (state === "ended") {
    hide(false);
    if (log.childElementCount) lines.note(sentences.ended);
  }
}

function onMessage(message) {
  const { event } = message;
  if (message.position > replayTo) replayTo = 0;
  if (event === "opened") {
    ansi = new Ansi();
    gauges.clear();
    if (!message.is_tls) byId("play-state").textContent = `Connected to ${message.host} ${message.port}, without encryption between here and the game.`;
  } else if (event === "resumed") {
    if (message.position === 0 || !log.childElementCount) {
      ansi = new Ansi();
      lines.clear();
      replayTo = message.last;
    }
    if (!message.is_complete) lines.note("Earlier text is no longer kept.");
    hide(message.is_hidden);
  } else if (event === "text") {
    const follows = lines.add(ansi.feed(message.text));
    news.hidden = follows;
    clearTimeout(promptTimer);
    if (lines.current) promptTimer = setTimeout(() => lines.current && sayPrompt(lines.current.textContent), PROMPT_SECONDS * 1000);
  } else if (event === "prompt") {
    clearTimeout(promptTimer);
    if (lines.current) lines.finish("prompt");
  } else if (event === "echo") hide(message.is_hidden);
  else if (event === "gmcp") gauges.take(message.package, message.data);
  else if (event === "encoding") byId("play-state").textContent = `Connected. The game has chosen the encoding ${message.encoding}.`;
}

function onLine(line, text, kind) {
  if (replayTo) return;
  if (kind === "prompt") sayPrompt(text);
  else voice.line(text);
  if (document.hidden && settings.values.notify && line.querySelector("mark")) notify(text);
}

function sayPrompt(text) {
  if (!replayTo) voice.prompt(text);
}

function notify(text) {
  if (globalThis.Notification?.permission === "granted") new Notification(name, { body: text, tag: game });
}

// While the game hides what is typed, so does the page, and it keeps none of it.
function hide(value) {
  if (isHidden === value) return;
  isHidden = value;
  input.value = "";
  input.type = value ? "password" : "text";
  byId("play-secret").hidden = !value;
  byId("play-label").textContent = value ? "Password" : "Command";
  voice.say(value ? "What you type is hidden now." : "What you type is shown again.", { always: settings.values.reader });
}

byId("play-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = input.value;
  if (!link.send({ event: "line", text })) {
    byId("play-state").textContent = "Not connected: nothing was sent.";
    return;
  }
  input.value = "";
  clearTimeout(promptTimer);
  if (isHidden) lines.typed("");
  else {
    history.add(text);
    lines.typed(text);
  }
  lines.toEnd();
  news.hidden = true;
});

input.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.isComposing) return;
  const direction = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (direction && event.altKey) review(direction);
  else if (direction && !event.shiftKey && !isHidden) {
    const line = history.step(direction, input.value);
    if (line === null) return;
    input.value = line;
    input.setSelectionRange(line.length, line.length);
  } else if (event.key === "PageUp" || event.key === "PageDown") {
    log.scrollBy({ top: (event.key === "PageUp" ? -0.9 : 0.9) * log.clientHeight });
  } else if (event.key === "Escape") {
    voice.stop();
    stopReview();
    lines.toEnd();
  } else return;
  event.preventDefault();
});

// Review: say one line after the other, starting with the last.
function review(direction) {
  const all = [...log.children].filter((line) => line.textContent.trim());
  if (!all.length) return;
  const at = reviewed ? all.indexOf(reviewed) + direction : all.length - 1;
  const line = all[Math.max(0, Math.min(all.length - 1, at))];
  stopReview();
  reviewed = line;
  line.classList.add("review");
  line.scrollIntoView({ block: "nearest" });
  voice.stop();
  voice.say(line.textContent.trim(), { always: true });
}

function stopReview() {
  reviewed?.classList.remove("review");
  reviewed = null;
}

log.addEventListener("scroll", () => {
  if (lines.isAtEnd) news.hidden = true;
});
news.addEventListener("click", () => lines.toEnd());
connectButton.addEventListener("click", () => {
  link.connect(terminal);
  input.focus();
});
disconnectButton.addEventListener("click", () => {
  if (!link.send({ event: "close" })) link.ended("you have disconnected");
});
byId("play-quiet").addEventListener("click", () => voice.stop());
byId("play-save").addEventListener("click", () => {
  const address = URL.createObjectURL(new Blob([lines.text], { type: "text/plain" }));
  const anchor = document.createElement("a");
  anchor.href = address;
  anchor.download = `${game}-${new Date().toISOString().slice(0, 16).replace(/[:T]/g, "-")}.txt`;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
});
addEventListener("online", () => link.wake());

if ("speechSynthesis" in globalThis) {
  const list = () => {
    const voices = speechSynthesis.getVoices();
    byId("play-speech").hidden = !voices.length;
    const select = byId("play-voice");
    select.replaceChildren(new Option("The browser's own", ""), ...voices.map((each) => new Option(`${each.name} (${each.lang})`, each.name)));
    select.value = settings.values.voice;
  };
  list();
  speechSynthesis.addEventListener?.("voiceschanged", list);
}

link.connect(terminal);
if (matchMedia("(hover: hover)").matches) input.focus();
