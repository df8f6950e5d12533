"""What moderators do to channels. Each form of a channel's page has its own address, and its own prefix of fields."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.acting import acting, looking
from app.errors import faults_on
from app.forms import FlaskForm
from app.moderation.forms import DescribeForm, PauseForm, ReasonForm, RenameForm, SlowForm
from shared.db import utc_now
from shared.services import channels
from shared.services.moderation import channel_states
from shared.services.moderation.actors import Actor

bp = Blueprint("channels", __name__, url_prefix="/channels")
Act = Callable[[Session, Actor], object]


@bp.get("")
def index() -> ResponseReturnValue:
    """All channels, with what is not as usual about them."""
    with looking() as (session, _actor):
        return render_template(
            "moderation/channels.html",
            channels=channels.list_channels(session),
            states={state.channel_id: state for state in channel_states.list_states(session)},
            now=utc_now(),
        )


@bp.get("/<name>")
def show(name: str) -> ResponseReturnValue:
    """One channel, and all that can be done to it."""
    return _page(name)


@bp.post("/<name>/approve")
def approve(name: str) -> ResponseReturnValue:
    """Put it on the public lists."""
    return _at_once(name, "is public now", lambda session, actor: channel_states.approve(session, actor, channel=name))


@bp.post("/<name>/hide")
def hide(name: str) -> ResponseReturnValue:
    """Take it off the public lists."""
    return _at_once(name, "is hidden now", lambda session, actor: channel_states.hide(session, actor, channel=name))


@bp.post("/<name>/reopen")
def reopen(name: str) -> ResponseReturnValue:
    """Undo closing it."""
    return _at_once(name, "is open again", lambda session, actor: channel_states.reopen(session, actor, channel=name))


@bp.post("/<name>/resume")
def resume(name: str) -> ResponseReturnValue:
    """End a pause."""
    return _at_once(name, "may talk again", lambda session, actor: channel_states.resume(session, actor, channel=name))


@bp.post("/<name>/close")
def close(name: str) -> ResponseReturnValue:
    """Let nobody speak or subscribe any more."""
    form = ReasonForm(prefix="close-")
    return _form(
        name,
        "close",
        form,
        "is closed",
        lambda session, actor: channel_states.close(session, actor, channel=name, reason=form.reason.data or ""),
    )


@bp.post("/<name>/pause")
def pause(name: str) -> ResponseReturnValue:
    """Let nobody speak for a while."""
    form = PauseForm(prefix="pause-")
    return _form(
        name,
        "pause",
        form,
        "is paused, and was told so",
        lambda session, actor: channel_states.pause(
            session, actor, channel=name, minutes=form.minutes.data, reason=form.reason.data or ""
        ),
    )


@bp.post("/<name>/slow")
def slow(name: str) -> ResponseReturnValue:
    """Let each player speak once in so many seconds."""
    form = SlowForm(prefix="slow-")
    return _form(
        name,
        "slow",
        form,
        "has its pace",
        lambda session, actor: channel_states.slow_down(
            session, actor, channel=name, seconds=form.seconds.data or 0, reason=form.reason.data or ""
        ),
    )


@bp.post("/<name>/describe")
def describe(name: str) -> ResponseReturnValue:
    """Say what it is for."""
    form = DescribeForm(prefix="describe-")
    return _form(
        name,
        "describe",
        form,
        "is described",
        lambda session, actor: channel_states.describe(
            session, actor, channel=name, description=form.description.data or ""
        ),
    )


@bp.post("/<name>/rename")
def rename(name: str) -> ResponseReturnValue:
    """Give it another name."""
    form = RenameForm(prefix="rename-")
    return _form(
        name,
        "rename",
        form,
        "has its new name",
        lambda session, actor: channel_states.rename(session, actor, channel=name, new_name=form.name.data or ""),
        new_name=form.name,
    )


def _at_once(name: str, done: str, act: Act) -> ResponseReturnValue:
    with acting() as (session, actor):
        act(session, actor)
    flash(f"{name} {done}.", "success")
    return redirect(url_for(".show", name=name), 303)


def _form(
    name: str, which: str, form: FlaskForm, done: str, act: Act, *, new_name: object = None
) -> ResponseReturnValue:
    if form.validate_on_submit():
        with faults_on(form):
            with acting() as (session, actor):
                act(session, actor)
            name = getattr(new_name, "data", None) or name
            flash(f"{name} {done}.", "success")
            return redirect(url_for(".show", name=name), 303)
    return _page(name, **{which: form})


def _page(name: str, **sent: FlaskForm) -> ResponseReturnValue:
    """The page with all forms; those that were sent as they were."""
    with looking() as (session, _actor):
        channel = channels.get_channel(session, name)
        state = channel_states.find_state(session, channel.id)
        forms = {
            "close": ReasonForm(formdata=None, prefix="close-"),
            "pause": PauseForm(formdata=None, prefix="pause-", data={"minutes": 10}),
            "slow": SlowForm(formdata=None, prefix="slow-", data={"seconds": state.slow_seconds if state else 0}),
            "describe": DescribeForm(formdata=None, prefix="describe-", data={"description": channel.description}),
            "rename": RenameForm(formdata=None, prefix="rename-", data={"name": channel.name}),
            **sent,
        }
        page = render_template(
            "moderation/channel.html",
            channel=channel,
            state=state,
            now=utc_now(),
            forms=forms,
            form=next(iter(sent.values()), None),
        )
    return page, 422 if sent else 200
