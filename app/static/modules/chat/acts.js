// Acts on lines and speakers that need no other page: the site's own forms, sent from here.

import { make, root } from "./dom.js";
import { isNotice } from "./line.js";

/**
 * Send one of the site's forms. The site answers a form that it accepted with a redirect.
 *
 * @returns {Promise<string>} The problem; empty if there is none.
 */
export const post = async (path, fields) => (await send(path, fields)).problem;

/**
 * Send one of the site's forms, also while the page is being left.
 *
 * @returns {Promise<{problem: string, address: string}>} The problem, empty if there is none, and where the site led.
 */
export async function send(path, fields) {
  const token = document.querySelector("input[name=csrf_token]")?.value ?? "";
  try {
    const answer = await fetch(root + path, { method: "POST", keepalive: true, body: new URLSearchParams({ csrf_token: token, ...fields }) });
    if (answer.redirected && answer.ok) {
      return { problem: new URL(answer.url).pathname.endsWith("/sign-in") ? "You are signed out." : "", address: answer.url };
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const problems = [...page.querySelectorAll(".problems li")].map((item) => item.textContent.trim());
    return { problem: problems.join(" ") || page.querySelector("h1")?.textContent || `The site answered with ${answer.status}.`, address: "" };
  } catch {
    return { problem: "The site cannot be reached. Try again.", address: "" };
  }
}

/**
 * Ask for something in a dialog, and do it. The dialog stays open, with the problem, if it cannot be done.
 *
 * @param {object} form
 * @param {string} form.title
 * @param {string} [form.note]
 * @param {{name: string, label: string, rows?: number, value?: string, choices?: [string, string][], list?: string}[]} form.fields
 * @param {string} form.button
 * @param {boolean} [form.isDanger]
 * @param {(values: object) => Promise<string>} form.act Returns the problem; empty if it is done.
 * @param {(values: object) => void} form.done
 */
export function ask({ title, note, quote, fields, button, isDanger, act, done }) {
  const problem = make("p", { class: "problem", role: "alert" });
  const inputs = fields.map(({ name, label, rows, value, choices, list }) => {
    const input = choices
      ? make("select", { name }, ...choices.map(([key, text]) => make("option", { value: key, text })))
      : rows ? make("textarea", { name, rows, required: true }) : make("input", { name, list, required: true, autocomplete: "off" });
    if (value !== undefined) input.value = value;
    return make("label", {}, label, input);
  });
  const form = make(
    "form",
    { class: "stack", method: "dialog" },
    make("h2", { text: title }),
    quote && make("blockquote", { class: "quote", dir: "auto", text: quote }),
    note && make("p", { class: "soft", text: note }),
    ...inputs,
    problem,
    make(
      "div",
      { class: "actions" },
      make("button", { class: isDanger ? "danger" : false, text: button }),
      make("button", { type: "button", class: "quiet", text: "Cancel", on: { click: () => dialog.close() } }),
    ),
  );
  const dialog = make("dialog", { class: "dialog", "aria-label": title }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const send = form.querySelector("button");
    const values = Object.fromEntries(new FormData(form));
    send.disabled = true;
    problem.textContent = await act(values);
    send.disabled = false;
    if (problem.textContent) return;
    dialog.close();
    done(values);
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  form.querySelector("input, textarea, select, button")?.focus();
}

/**
 * Return the menu of a line or a speaker.
 *
 * @param {object} about `name`, `game`, and of a line also `id`, `text` and `links`.
 * @param {object} context
 * @param {boolean} context.isModerator
 * @param {boolean} context.isOwn
 * @param {(text: string) => void} context.say Shows what was done.
 * @param {(name: string, game: string) => void} [context.tell]
 * @param {(name: string) => void} [context.mention]
 * @param {string} [context.address] The line's permanent address.
 */
export function itemsFor({ name, game, id, text, links = [] }, { isModerator, isOwn, say, tell, mention, address }) {
  const who = `${name}@${game}`;
  const isStored = id !== undefined && text !== undefined;
  if (isNotice(name, game)) return [];
  const profile = game === "Grapevine" ? `${root}/players/${encodeURIComponent(name)}` : `${root}/games/${encodeURIComponent(game)}`;
  return [
    { label: game === "Grapevine" ? "Profile" : `Game: ${game}`, href: profile },
    !isOwn && tell && { label: "Tell", act: () => tell(name, game) },
    !isOwn && mention && { label: "Mention", act: () => mention(name) },
    address && { label: "Copy link", act: () => copy(address, say) },
    ...links.map((link) => ({ label: `Open ${new URL(link).hostname}`, act: () => window.open(link, "_blank", "noopener") })),
    !isOwn && { label: "Ignore", act: () => ignore(name, game, say) },
    !isOwn && { label: "Report…", act: () => report({ who, id, text }, say) },
    ...(isModerator ? moderation({ who, id, text, isStored }, say) : []),
  ].filter(Boolean);
}

async function copy(address, say) {
  try {
    await navigator.clipboard.writeText(address);
    say("The link is copied.");
  } catch {
    window.prompt("Copy this link:", address);
  }
}

/** Ignore a player. */
export async function ignore(name, game, say) {
  const problem = await post("/account/ignores", { pattern: `${name}@${game}` });
  say(problem || `You no longer see what ${name}@${game} says. You can undo this on your account's page.`, problem ? "bad" : "");
}

function report({ who, id, text }, say) {
  ask({
    title: `Report ${who}`,
    quote: text,
    note: "A moderator will look at it. The person you report is not told who reported them.",
    fields: [{ name: "text", label: "What is wrong?", rows: 4 }],
    button: "Send report",
    act: (values) => post(id === undefined ? "/report" : `/report?message=${id}`, { target: who, text: values.text }),
    done: () => say("Thank you. The outcome will appear among your reports."),
  });
}

const REASON = { name: "reason", label: "Reason", list: "reasons" }; // the presets, which staff's pages contain

function moderation({ who, id, text, isStored }, say) {
  const sanction = (kind, label, seconds) =>
    ask({
      title: `${label} ${who}`,
      quote: text,
      note: "The reason is public.",
      fields: [
        ...(seconds ? [{ name: "seconds", label: "For how long", choices: [["3600", "1 hour"], ["600", "10 minutes"], ["86400", "1 day"], ["604800", "7 days"]] }] : []),
        REASON,
      ],
      button: label,
      act: (values) =>
        post("/moderation/sanctions/new", { target_kind: "player", target: who, kind, channel: "", seconds: values.seconds ?? "", reason: values.reason }),
      done: () => say(`${who} is ${kind === "warn" ? "warned" : "muted"}.`),
    });
  return [
    { label: "Mute…", act: () => sanction("mute", "Mute", true) },
    { label: "Warn…", act: () => sanction("warn", "Warn", false) },
    isStored && {
      label: "Redact…",
      isDanger: true,
      act: () =>
        ask({
          title: "Redact this message",
          quote: text,
          note: "Its text is deleted everywhere, and cannot be restored. The reason is public: do not quote the message.",
          fields: [REASON],
          button: "Redact permanently",
          isDanger: true,
          act: (values) => post(`/moderation/messages/${id}/redact`, values),
          done: () => say("The message is redacted."),
        }),
    },
    { label: "Record", href: `${root}/moderation/records/player?name=${encodeURIComponent(who)}` },
  ].filter(Boolean);
}
