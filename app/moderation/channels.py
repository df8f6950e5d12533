"""What moderators do to channels. Each form of a channel's page has its own address, and its own prefix of fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from wtforms import Field

from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.forms import FlaskForm
from app.moderation.forms import DescribeForm, PauseForm, ReasonForm, RenameForm, SlowForm, WholeField
from shared.db import utc_now
from shared.services import channels
from shared.services.moderation import channel_states

bp = Blueprint("channels", __name__, url_prefix="/channels")


@bp.get("")
def index() -> ResponseReturnValue:
    """All channels, with what is not as usual about them."""
    with actor_reading() as (session, _actor):
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


@dataclass(frozen=True, slots=True)
class Form:
    """An act with a form of its own. fields: of the form, as the service calls them."""

    kind: type[FlaskForm]
    act: Callable[..., object]
    fields: dict[str, str]
    done: str


AT_ONCE: dict[str, tuple[Callable[..., object], str]] = {
    "approve": (channel_states.approve, "is public now"),
    "hide": (channel_states.hide, "is hidden now"),
    "reopen": (channel_states.reopen, "is open again"),
    "resume": (channel_states.resume, "may talk again"),
}
"""Acts that a button does: each is a route."""

FORMS: dict[str, Form] = {
    "close": Form(ReasonForm, channel_states.close, {"reason": "reason"}, "is closed"),
    "pause": Form(
        PauseForm, channel_states.pause, {"minutes": "minutes", "reason": "reason"}, "is paused, and was told so"
    ),
    "slow": Form(SlowForm, channel_states.slow_down, {"seconds": "seconds", "reason": "reason"}, "is in slow mode"),
    "describe": Form(DescribeForm, channel_states.describe, {"description": "description"}, "is described"),
    "rename": Form(RenameForm, channel_states.rename, {"name": "new_name"}, "has its new name"),
}
"""Acts with a form: each is a route too, and the form's fields begin with its name."""


def _at_once(name: str, which: str) -> ResponseReturnValue:
    act, done = AT_ONCE[which]
    with actor_transaction() as (session, actor):
        act(session, actor, channel=name)
    flash(f"{name} {done}.", "success")
    return redirect(url_for(".show", name=name), 303)


def _by_form(name: str, which: str) -> ResponseReturnValue:
    sent = FORMS[which]
    form = sent.kind(prefix=f"{which}-")
    if form.validate_on_submit():
        values = {given: _value(form[field]) for field, given in sent.fields.items()}
        with errors_on(form):
            with actor_transaction() as (session, actor):
                sent.act(session, actor, channel=name, **values)
            name = values.get("new_name") or name
            done = "is no longer in slow mode" if values.get("seconds") == 0 else sent.done
            flash(f"{name} {done}.", "success")
            return redirect(url_for(".show", name=name), 303)
    return _page(name, **{which: form})


def _value(field: Field) -> Any:
    """A text that was not sent is empty; a number that was not written is none."""
    return field.data if isinstance(field, WholeField) else field.data or ""


for _which in AT_ONCE:
    bp.post(f"/<name>/{_which}", endpoint=_which, defaults={"which": _which})(_at_once)
for _which in FORMS:
    bp.post(f"/<name>/{_which}", endpoint=_which, defaults={"which": _which})(_by_form)


def _page(name: str, **sent: FlaskForm) -> ResponseReturnValue:
    """The page with all forms; those that were sent as they were."""
    with actor_reading() as (session, _actor):
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
