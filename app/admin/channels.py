"""All channels, including hidden ones: create, edit, hide, show, delete."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.accounts.identity import admin_required
from app.admin.forms import ChannelForm
from app.current_actor import actor_transaction
from app.errors import errors_on
from app.templating import form_page
from shared.db import reading
from shared.services import channels

bp = Blueprint("admin_channels", __name__, url_prefix="/admin/channels")


@bp.get("")
@admin_required
def index() -> ResponseReturnValue:
    """List all channels by name, or only those that were never used."""
    is_unused = request.args.get("unused") == "y"
    with reading() as session:
        unused = channels.find_unused(session)
        all_channels = channels.list_channels(session)
        return render_template(
            "admin/channels.html",
            channels=[channel for channel in all_channels if channel.id in unused] if is_unused else all_channels,
            unused=unused,
            is_unused=is_unused,
        )


@bp.route("/new", methods=["GET", "POST"])
@admin_required
def new() -> ResponseReturnValue:
    """Create a channel."""
    form = ChannelForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                channel = channels.create_channel(
                    session,
                    actor,
                    name=form.name.data or "",
                    description=form.description.data or "",
                    is_hidden=form.is_hidden.data,
                )
            flash(f"{channel.name} has been created.", "success")
            return redirect(url_for(".index"), 303)
    return form_page("admin/channel.html", form, channel=None)


@bp.route("/<name>/edit", methods=["GET", "POST"])
@admin_required
def edit(name: str) -> ResponseReturnValue:
    """Change a channel."""
    with reading() as session:
        channel = channels.get_channel(session, name)
    form = ChannelForm(data=ChannelForm.values_of(channel))
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                form.merge(form.values_of(channels.get_channel(session, name)))
                changed = channels.update_channel(
                    session,
                    actor,
                    name=name,
                    new_name=form.name.data or "",
                    description=form.description.data or "",
                    is_hidden=form.is_hidden.data,
                )
            flash(f"{changed.name} has been saved.", "success")
            return redirect(url_for(".index"), 303)
    return form_page("admin/channel.html", form, channel=channel)


@bp.post("/<name>/hide")
@admin_required
def hide(name: str) -> ResponseReturnValue:
    """Hide a channel."""
    return _set_hidden(name, True)


@bp.post("/<name>/show")
@admin_required
def show(name: str) -> ResponseReturnValue:
    """Make a channel public."""
    return _set_hidden(name, False)


@bp.post("/<name>/delete")
@admin_required
def delete(name: str) -> ResponseReturnValue:
    """Delete a channel and end all subscriptions to it."""
    with actor_transaction() as (session, actor):
        channels.delete_channel(session, actor, name=name)
    flash(f"{name} has been deleted.", "success")
    return redirect(url_for(".index"), 303)


def _set_hidden(name: str, is_hidden: bool) -> ResponseReturnValue:
    with actor_transaction() as (session, actor):
        channel = channels.update_channel(session, actor, name=name, is_hidden=is_hidden)
    flash(f"{channel.name} is now {'hidden' if is_hidden else 'public'}.", "success")
    return redirect(url_for(".index"), 303)
