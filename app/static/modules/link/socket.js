// The connection to a worker (docs/browser-chat.md): signs in, matches answers to requests, notices silence, reconnects.
// It touches no document, so that it also works in a shared worker.

const MAX_DELAY_SECONDS = 60;
const OPEN_SECONDS = 15; // for the token, and for the handshake with the first answer
const CHECK_SECONDS = 5;

/** The answer to a request that was lost with its connection. */
export const LOST = Object.freeze({ status: "lost" });

export class Socket {
  /**
   * Create a connection. Call `connect()` to start.
   *
   * @param {object} options
   * @param {string} options.socket The worker's address.
   * @param {string} [options.token] Where to fetch a token. Without it, the connection is a visitor's, which only reads.
   * @param {number} options.silence Seconds without any frame after which the connection counts as lost.
   * @param {string[]} [options.channels] The channels of a visitor. The site names those of an account with its token.
   * @param {(state: object) => void} onState Called with each new state; `name` is one of `connecting`, `joined`,
   *   `waiting`, `refused`, `restarting` and `ended`.
   * @param {(event: string, payload: object) => void} onFrame Called for each frame that is not an answer.
   */
  constructor(options, onState, onFrame) {
    this.options = options;
    this.onState = onState;
    this.onFrame = onFrame;
    this.state = { name: "waiting" };
    this.first = ""; // the channel to subscribe to first, in case there are too many
    this.webSocket = null;
    this.requests = new Map(); // callbacks for answers, by ref
    this.lastRef = 0;
    this.attempt = 0;
    this.heardAt = 0;
    this.timer = 0;
    this.opening = 0; // the number of the current attempt: an earlier one that is still waiting gives up
    this.watchdog = setInterval(() => this.checkSilence(), CHECK_SECONDS * 1000);
  }

  get isJoined() {
    return this.state.name === "joined";
  }

  set(state) {
    this.state = state;
    this.onState(state);
  }

  async connect() {
    clearTimeout(this.timer);
    this.timer = 0;
    const opening = ++this.opening;
    this.set({ name: "connecting", attempt: this.attempt });
    let first = { event: "channels/watch", payload: { channels: this.options.channels ?? [] } };
    if (this.options.token) {
      try {
        const answer = await fetch(this.options.token, { cache: "no-store", signal: AbortSignal.timeout(OPEN_SECONDS * 1000) });
        if (opening !== this.opening) return;
        if (answer.status === 401) return this.end("signed-out");
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        const { token, channels } = await answer.json();
        first = { event: "authenticate", payload: { token, channels: this.inOrder(channels) } };
      } catch {
        if (opening === this.opening) this.reconnectLater();
        return;
      }
      if (opening !== this.opening) return;
    }
    const opened = new WebSocket(this.options.socket);
    this.webSocket = opened;
    this.heardAt = Date.now();
    opened.onopen = () => this.request(first.event, first.payload, (answer) => this.admitted(answer));
    opened.onmessage = (message) => this.receive(JSON.parse(message.data));
    opened.onclose = (event) => this.lost(event.code);
  }

  inOrder(channels) {
    return [this.first, ...channels.filter((name) => name !== this.first)].filter(Boolean).slice(0, 100);
  }

  admitted(answer) {
    if (answer.status === "success") {
      this.attempt = 0;
      this.set({ name: "joined", channels: answer.payload.channels, username: answer.payload.username ?? "" });
    } else if (answer.status === "failure") {
      if (answer.code === "rate-limited") this.attempt = Math.max(this.attempt, 6); // too many open pages: wait longer
      this.set({ name: "refused", text: answer.error });
      if (!this.options.token) this.lost();
    }
  }

  /** Send a request. Returns its answer; LOST if the connection ended before. */
  ask(event, payload) {
    return new Promise((resolve) => {
      if (this.isJoined) this.request(event, payload, resolve);
      else resolve(LOST);
    });
  }

  request(event, payload, callback) {
    this.lastRef += 1;
    this.requests.set(this.lastRef, callback);
    this.webSocket.send(JSON.stringify({ event, ref: this.lastRef, payload }));
  }

  /** Send a frame that has no answer, if the connection is live. */
  send(event, payload) {
    if (this.isJoined) this.webSocket.send(JSON.stringify({ event, payload }));
  }

  receive(frame) {
    this.heardAt = Date.now();
    const callback = this.requests.get(frame.ref);
    if (callback) {
      this.requests.delete(frame.ref);
      callback(frame);
    } else if (frame.event === "heartbeat") this.webSocket.send('{"event":"heartbeat"}');
    else if (frame.event === "restart") this.onState({ name: "restarting" });
    else this.onFrame(frame.event, frame.payload);
  }

  // A dead connection, or a frozen worker, ends nothing by itself. Workers send heartbeats, so silence shows it.
  checkSilence() {
    if (!this.webSocket) return;
    const seconds = this.isJoined ? this.options.silence : OPEN_SECONDS;
    if (Date.now() - this.heardAt < seconds * 1000) return;
    this.lost(undefined, this.isJoined);
  }

  lost(code, wasSilent = false) {
    const { webSocket } = this;
    if (!webSocket) return;
    this.webSocket = null;
    webSocket.onopen = webSocket.onmessage = webSocket.onclose = null;
    webSocket.close();
    const callbacks = [...this.requests.values()];
    this.requests.clear();
    const { state } = this;
    if (state.name !== "ended") this.reconnectLater(code, wasSilent);
    for (const callback of callbacks) callback(LOST);
  }

  // Reconnect with growing, random delays, so that not all pages return at once. After a restart (1012), another worker
  // may be ready, so return sooner.
  reconnectLater(code, wasSilent = false) {
    const maxDelay = code === 1012 || wasSilent ? 2 : Math.min(2 ** this.attempt, MAX_DELAY_SECONDS);
    const seconds = maxDelay * (code === 1012 ? Math.random() : 0.5 + Math.random() / 2);
    this.attempt += 1;
    if (this.state.name !== "refused") this.set({ name: "waiting", wasSilent });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), seconds * 1000);
  }

  /** Reconnect at once if the connection was lost: the reader is back, or the network is. */
  wake() {
    this.checkSilence();
    if (this.timer) this.connect();
  }

  /** Subscribe to a channel that the connection does not receive, by signing in again. */
  want(channel) {
    if (this.isJoined && !this.state.channels.some((name) => name.toLowerCase() === channel.toLowerCase())) {
      this.first = channel;
      this.lost();
      this.wake();
    }
  }

  /** Close, and do not reconnect. */
  end(reason) {
    clearTimeout(this.timer);
    clearInterval(this.watchdog);
    this.timer = 0;
    this.opening += 1;
    this.set({ name: "ended", reason });
    this.lost();
  }
}
