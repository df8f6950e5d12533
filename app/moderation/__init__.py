"""The moderators' pages: messages, reports, sanctions, appeals, filters and the audit trail. See docs/moderation.md."""

from flask import Blueprint, Flask

from app.moderation import (
    appeals,
    audit,
    channels,
    filters,
    guard,
    live,
    messages,
    notes,
    overview,
    presets,
    records,
    reports,
    safeguards,
    sanctions,
    words,
)


def init_app(app: Flask) -> None:
    """Add the pages, all behind one guard."""
    bp = Blueprint("moderation", __name__, url_prefix="/moderation")
    bp.before_request(guard.admit)
    bp.context_processor(lambda: {"pending": overview.pending})
    for module in (
        overview,
        live,
        messages,
        reports,
        sanctions,
        appeals,
        channels,
        filters,
        safeguards,
        presets,
        records,
        audit,
        notes,
    ):
        bp.register_blueprint(module.bp)
    words.init_app(app)
    presets.init_app(app)
    app.register_blueprint(bp)
