// The connection to the gateway (docs/play.md): opens a session, confirms what was shown, and goes on after a loss.

const RESUME_SECONDS = 60;
const OPEN_SECONDS = 20;
const CONFIRM_SECONDS = 0.2;
const CONFIRM_CHARACTERS = 30_000;

export class Link {
  /**
   * @param {{ socket: string, token: string, game: string }} options Where to connect, where the token is, the short name.
   * @param {(name: string, text: string) => void} onState `connecting`, `playing`, `lost`, `ended`, `signed-out`.
   * @param {(message: object) => void} onMessage Called with each message of the game, and with `opened` and `resumed`.
   */
  constructor(options, onState, onMessage) {
    this.options = options;
    this.onState = onState;
    this.onMessage = onMessage;
    this.key = `play/${options.game.toLowerCase()}`;
    this.state = "ended";
    this.webSocket = null;
    this.session = recall(this.key);
    this.position = 0;
    this.confirmed = 0;
    this.unconfirmed = 0;
    this.confirmTimer = 0;
    this.retryTimer = 0;
    this.lostAt = 0;
    this.attempt = 0;
  }

  get isPlaying() {
    return this.state === "playing";
  }

  set(state, text = "") {
    this.state = state;
    this.onState(state, text);
  }

  /** Connect: go on with the session of before a reload, or open a new one. */
  async connect(terminal) {
    this.terminal = terminal;
    clearTimeout(this.retryTimer);
    this.set(this.lostAt ? "lost" : "connecting");
    if (this.session) return this.open({ event: "resume", session: this.session, position: this.position });
    try {
      const answer = await fetch(this.options.token, { cache: "no-store", signal: AbortSignal.timeout(OPEN_SECONDS * 1000) });
      if (answer.status === 401) return this.set("signed-out", "Sign in to play this game.");
      if (!answer.ok) return this.set("ended", "This game cannot be played in the browser at the moment.");
      const { token } = await answer.json();
      this.open({ event: "open", token, ...terminal() });
    } catch {
      this.set("ended", "The site does not answer. Try again in a moment.");
    }
  }

  open(first) {
    const webSocket = new WebSocket(this.options.socket);
    this.webSocket = webSocket;
    const timer = setTimeout(() => webSocket.close(), OPEN_SECONDS * 1000);
    webSocket.onopen = () => webSocket.send(JSON.stringify(first));
    webSocket.onmessage = (event) => {
      clearTimeout(timer);
      this.receive(JSON.parse(event.data));
    };
    webSocket.onclose = (event) => {
      clearTimeout(timer);
      if (this.webSocket === webSocket) this.closed(event.code);
    };
  }

  receive(message) {
    if (message.event === "refused") {
      this.forget();
      this.webSocket.onclose = null;
      this.webSocket = null;
      if (message.code !== "gone") return this.set("ended", message.text);
      if (this.lostAt) return this.ended("the session is over: the connection was lost for too long");
      return this.connect(this.terminal); // the session of before the reload is over
    }
    if (message.event === "opened") {
      this.session = message.session;
      this.position = this.confirmed = 0;
      remember(this.key, this.session);
    }
    if (message.event === "resumed") {
      this.position = this.confirmed = message.position;
      const terminal = this.terminal();
      this.send({ event: "resize", columns: terminal.columns, rows: terminal.rows });
    }
    if (message.event === "opened" || message.event === "resumed") {
      this.lostAt = this.attempt = 0;
      this.set("playing");
    }
    this.onMessage(message);
    if (message.position > this.position) {
      this.position = message.position;
      this.unconfirmed += message.text?.length ?? 100;
      if (this.unconfirmed > CONFIRM_CHARACTERS || message.event === "ended") this.confirm();
      else this.confirmTimer ||= setTimeout(() => this.confirm(), CONFIRM_SECONDS * 1000);
    }
    if (message.event === "ended") this.ended(message.text);
  }

  confirm() {
    clearTimeout(this.confirmTimer);
    this.confirmTimer = 0;
    this.unconfirmed = 0;
    if (this.position > this.confirmed) this.send({ event: "received", position: this.position });
    this.confirmed = this.position;
  }

  ended(text) {
    this.forget();
    if (this.webSocket) this.webSocket.onclose = null;
    this.webSocket = null;
    this.lostAt = 0;
    this.set("ended", text);
  }

  closed(code) {
    this.webSocket = null;
    if (!this.session) return this.set("ended", "The gateway does not answer. Try again in a moment.");
    if (code === 4001) {
      this.session = null; // it lives on in the other page, which remembers it itself
      this.position = 0;
      return this.set("ended", "You play in another tab now.");
    }
    this.lostAt ||= Date.now();
    if (Date.now() - this.lostAt > RESUME_SECONDS * 1000) return this.ended("The connection was lost.");
    this.set("lost");
    this.attempt += 1;
    this.retryTimer = setTimeout(() => this.connect(this.terminal), Math.min(250 * 2 ** this.attempt, 5_000));
  }

  /** Try at once if the connection was lost: the network is back. */
  wake() {
    if (this.state === "lost" && !this.webSocket) this.connect(this.terminal);
  }

  send(message) {
    if (this.webSocket?.readyState !== WebSocket.OPEN) return false;
    this.webSocket.send(JSON.stringify(message));
    return true;
  }

  forget() {
    this.session = null;
    this.position = 0;
    remember(this.key, null);
  }
}

function recall(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key, value) {
  try {
    if (value === null) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, value);
  } catch {
    // Storage is blocked: a reload opens a new session.
  }
}
