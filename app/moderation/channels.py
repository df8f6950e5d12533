"""Moderating channels. Each form on a channel's page has its own address and its own prefix of field names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from wtforms import Field

from app.current_actor import actor_reading, actor_transaction
from app.edit_form import EditForm
from app.errors import errors_on
from app.forms import FlaskForm
from app.moderation.forms import DescribeForm, IntegerTextField, PauseForm, ReasonForm, RenameForm, SlowForm
from shared.db import utc_now
from shared.models.channel import Channel
from shared.services import channels
from shared.services.moderation import channel_states

bp = Blueprint("channels", __name__, url_prefix="/channels")


@bp.get("")
def index() -> ResponseReturnValue:
    """List all channels and mark those that are paused, slow or closed."""
    with actor_reading() as (session, _actor):
        return render_template(
            "moderation/channels.html",
            channels=channels.list_channels(session),
            states={state.channel_id: state for state in channel_states.list_states(session)},
            now=utc_now(),
        )


@bp.get("/<name>")
def show(name: str) -> ResponseReturnValue:
    """Show a channel with a form for each act."""
    return _page(name)


@dataclass(frozen=True, slots=True)
class FormAct:
    """An act that needs a form.

    Attributes:
        fields: Maps the form's fields to the service's arguments.
        done: The rest of a sentence that begins with the channel's name.
    """

    kind: type[FlaskForm]
    act: Callable[..., object]
    fields: dict[str, str]
    done: str


BUTTON_ACTS: dict[str, tuple[Callable[..., object], str]] = {
    "approve": (channel_states.approve, "is public now"),
    "hide": (channel_states.hide, "is hidden now"),
    "reopen": (channel_states.reopen, "is open again"),
    "resume": (channel_states.resume, "is no longer paused"),
}
"""Acts that need only a button. Each one is a route."""

FORM_ACTS: dict[str, FormAct] = {
    "close": FormAct(ReasonForm, channel_states.close, {"reason": "reason"}, "is closed"),
    "pause": FormAct(
        PauseForm, channel_states.pause, {"minutes": "minutes", "reason": "reason"}, "is paused and has been notified"
    ),
    "slow": FormAct(SlowForm, channel_states.slow_down, {"seconds": "seconds", "reason": "reason"}, "is in slow mode"),
    "describe": FormAct(DescribeForm, channel_states.describe, {"description": "description"}, "has a new description"),
    "rename": FormAct(RenameForm, channel_states.rename, {"name": "new_name"}, "has its new name"),
}
"""Acts with a form. Each one is a route, and its name is the prefix of the form's fields."""


def _press_button(name: str, which: str) -> ResponseReturnValue:
    act, done = BUTTON_ACTS[which]
    with actor_transaction() as (session, actor):
        act(session, actor, channel=name)
    flash(f"{name} {done}.", "success")
    return redirect(url_for(".show", name=name), 303)


def _send_form(name: str, which: str) -> ResponseReturnValue:
    form_act = FORM_ACTS[which]
    form = form_act.kind(prefix=f"{which}-")
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                if isinstance(form, EditForm):
                    form.merge(_current_values(session, channels.get_channel(session, name))[which])
                values = {argument: _value(form[field]) for field, argument in form_act.fields.items()}
                form_act.act(session, actor, channel=name, **values)
            name = values.get("new_name") or name
            done = "is no longer in slow mode" if values.get("seconds") == 0 else form_act.done
            flash(f"{name} {done}.", "success")
            return redirect(url_for(".show", name=name), 303)
    return _page(name, **{which: form})


def _current_values(session: Session, channel: Channel) -> dict[str, dict[str, object]]:
    """Return the values that the forms which change the channel start with, by the form's prefix."""
    state = channel_states.find_state(session, channel.id)
    return {
        "slow": {"seconds": state.slow_seconds if state else 0},
        "describe": {"description": channel.description},
        "rename": {"name": channel.name},
    }


def _value(field: Field) -> Any:
    """Return a field's value. A missing text is empty; a missing number is None."""
    return field.data if isinstance(field, IntegerTextField) else field.data or ""


for _which in BUTTON_ACTS:
    bp.post(f"/<name>/{_which}", endpoint=_which, defaults={"which": _which})(_press_button)
for _which in FORM_ACTS:
    bp.post(f"/<name>/{_which}", endpoint=_which, defaults={"which": _which})(_send_form)


def _page(name: str, **submitted: FlaskForm) -> ResponseReturnValue:
    """Return the page with all forms. A form that was sent keeps its input and errors."""
    with actor_reading() as (session, _actor):
        channel = channels.get_channel(session, name)
        state = channel_states.find_state(session, channel.id)
        values = _current_values(session, channel)
        forms = {
            "close": ReasonForm(formdata=None, prefix="close-"),
            "pause": PauseForm(formdata=None, prefix="pause-", data={"minutes": 10}),
            "slow": SlowForm(formdata=None, prefix="slow-", data=values["slow"]),
            "describe": DescribeForm(formdata=None, prefix="describe-", data=values["describe"]),
            "rename": RenameForm(formdata=None, prefix="rename-", data=values["rename"]),
            **submitted,
        }
        page = render_template(
            "moderation/channel.html",
            channel=channel,
            state=state,
            now=utc_now(),
            forms=forms,
            form=next(iter(submitted.values()), None),
        )
    return page, 422 if submitted else 200
