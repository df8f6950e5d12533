"""Show the network's games on your own page, from your own database. The page follows their changes.

pip install flask
GOSSIP_URL=… GOSSIP_CLIENT_ID=… GOSSIP_CLIENT_SECRET=… python directory_page.py
"""

import os
import threading

from backbone import Backbone, Game, migrate
from flask import Flask, Response, render_template_string
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

engine = create_engine(os.environ.get("DATABASE", "sqlite:///directory.db"))
login = (os.environ[name] for name in ("GOSSIP_URL", "GOSSIP_CLIENT_ID", "GOSSIP_CLIENT_SECRET"))
backbone = Backbone(engine, *login)
app = Flask(__name__)
changed = threading.Condition()

GAMES = """{% for game in games %}<li id="game-{{ game.id }}"><strong>{{ game.display_name }}</strong>
  {{ game.description or "" }} {% for way in game.connections %}<code>{{ way.url or way.host ~ ":" ~ way.port }}</code>
{% endfor %}</li>{% else %}<li>No games yet.</li>{% endfor %}"""
PAGE = """<!doctype html><title>Games</title><h1>Games</h1><ul>GAMES</ul><script>
new EventSource("/changes").onmessage = async () =>
  document.querySelector("ul").innerHTML = await (await fetch("/list")).text();</script>"""


@backbone.on_commit
def tell_browsers(changes):
    with changed:
        changed.notify_all()


@app.get("/list")
def game_list():
    with Session(engine) as session:
        games = session.scalars(select(Game).where(Game.display).order_by(Game.display_name)).all()
        return Response(render_template_string(GAMES, games=games))


@app.get("/")
def page():
    return PAGE.replace("GAMES", game_list().get_data(as_text=True))


@app.get("/changes")
def changes():
    def stream():
        yield "data: hello\n\n"  # the list may have changed since the page was rendered
        while True:
            with changed:
                has_changed = changed.wait(15)
            yield "data: changed\n\n" if has_changed else ": still here\n\n"

    return Response(stream(), mimetype="text/event-stream")


if __name__ == "__main__":
    migrate(engine)  # the first visitor may come before the first connection
    backbone.start()
    app.run(port=int(os.environ.get("PORT", "5000")), threaded=True)
