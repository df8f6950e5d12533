"""The public pages of channels, and the forms to propose one."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.accounts.identity import login_required
from app.channels.forms import DescribeForm, ProposeForm
from app.current_actor import actor_reading, actor_transaction, current_actor
from app.errors import errors_on
from app.templating import form_page
from shared.errors import Forbidden
from shared.services import channels, history, users
from shared.services.authority.permissions import Act, may
from shared.services.moderation import ignored_speakers

bp = Blueprint("channels", __name__, url_prefix="/channels")
SHOWN_LINES = 5


@bp.get("")
def index() -> ResponseReturnValue:
    """Lead to the chat's list: channels are listed in one place."""
    return redirect(url_for("chat.index"), 301)


@bp.get("/<name>")
def show(name: str) -> ResponseReturnValue:
    """Show a channel: its purpose, its last lines, and how a game joins it."""
    with actor_reading() as (session, actor):
        channel = channels.get_public_channel(session, actor, name=name)
        lines, _more = history.channel_page(session, channel.id, limit=SHOWN_LINES)
        ignored = ignored_speakers.ignored_by(session, actor)
        return render_template(
            "channels/show.html",
            channel=channel,
            may_describe=channels.may_describe(actor, channel),
            proposed_by=users.find_user(session, channel.proposed_by_id) if channel.proposed_by_id else None,
            lines=[line for line in lines if not ignored.covers(line)],
        )


@bp.route("/new", methods=["GET", "POST"])
@login_required
def new() -> ResponseReturnValue:
    """Propose a channel. Games that know its name can use it at once; it is listed when an admin makes it public."""
    form = ProposeForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                channel = channels.propose_channel(
                    session,
                    actor,
                    name=form.name.data or "",
                    description=form.description.data or "",
                )
            flash(f"{channel.name} has been proposed. It stays hidden until an admin makes it public.", "success")
            return redirect(url_for(".show", name=channel.name), 303)
    return form_page("channels/new.html", form, may_propose=may(current_actor(), Act.PROPOSE_CHANNEL))


@bp.route("/<name>/edit", methods=["GET", "POST"])
@login_required
def edit(name: str) -> ResponseReturnValue:
    """Edit the description of a channel that the viewer proposed."""
    with actor_reading() as (session, actor):
        channel = channels.get_public_channel(session, actor, name=name)
        if not channels.may_describe(actor, channel):
            raise Forbidden("only the person who proposed this channel may change its description")
    form = DescribeForm(data={"description": channel.description})
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                current = channels.get_public_channel(session, actor, name=name)
                form.merge({"description": current.description})
                channels.describe_channel(session, actor, name=channel.name, description=form.description.data or "")
            flash("The description has been saved.", "success")
            return redirect(url_for(".show", name=channel.name), 303)
    return form_page("channels/edit.html", form, channel=channel)
