"""Pictures drawn from a name, for games and people that have none: the same name always gives the same picture.

They are files of their own, by a number that the name gives, so browsers keep them and no record is read.
"""

from __future__ import annotations

import hashlib
import math
import random
from functools import lru_cache

from flask import Blueprint, Flask, Response, abort, render_template

from app.templating import ASSET_SECONDS

SEEDS = 10_000
BANNER_WIDTH, BANNER_HEIGHT = 640, 160
AVATAR_CELLS = 5

bp = Blueprint("pictures", __name__, url_prefix="/pictures")


def init_app(app: Flask) -> None:
    """Add the pictures, and the function that gives a name's number."""
    app.register_blueprint(bp)
    app.add_template_global(seed_of, "picture_seed")


def seed_of(name: str) -> int:
    """Return the number of a name's picture. Ignores case."""
    return int.from_bytes(hashlib.sha256(name.lower().encode("utf-8", "replace")).digest()[:4]) % SEEDS


@bp.get("/banner-<int:seed>.svg")
def banner(seed: int) -> Response:
    """Return a landscape: hills under a sky with a sun or a moon."""
    return _picture(draw_banner(seed) if seed < SEEDS else abort(404))


@bp.get("/avatar-<int:seed>.svg")
def avatar(seed: int) -> Response:
    """Return a symmetric pattern of squares, as a rune on a shield."""
    return _picture(draw_avatar(seed) if seed < SEEDS else abort(404))


@lru_cache(1_000)
def draw_banner(seed: int) -> str:
    """Return the SVG of a banner."""
    dice = random.Random(seed)  # noqa: S311 -- not a secret
    hue = dice.randrange(360)
    hills = []
    for number in range(3):
        height = BANNER_HEIGHT * (0.48 + 0.11 * number)
        waves = [(dice.uniform(0.6, 2.2), dice.uniform(0, 6.3), dice.uniform(4, 12)) for _ in range(2)]
        points = [
            f"{x} {height + sum(size * math.sin(often * x / 100 + shift) for often, shift, size in waves):.0f}"
            for x in range(0, BANNER_WIDTH + 1, 20)
        ]
        hills.append(
            (f"M0 {BANNER_HEIGHT}L" + "L".join(points) + f"L{BANNER_WIDTH} {BANNER_HEIGHT}Z", 44 - 11 * number)
        )
    stars = [(dice.randrange(BANNER_WIDTH), dice.randrange(30, 80), dice.choice((1, 1, 2))) for _ in range(24)]
    return render_template(
        "pictures/banner.svg",
        width=BANNER_WIDTH,
        height=BANNER_HEIGHT,
        hue=hue,
        hills=hills,
        stars=stars,
        moon=(dice.randrange(80, BANNER_WIDTH - 80), dice.randrange(56, 70), dice.randrange(10, 18)),
    )


@lru_cache(1_000)
def draw_avatar(seed: int) -> str:
    """Return the SVG of an avatar."""
    dice = random.Random(seed)  # noqa: S311 -- not a secret
    half = AVATAR_CELLS // 2 + 1
    cells = [(x, y) for y in range(AVATAR_CELLS) for x in range(half) if dice.random() < 0.5]
    cells += [(AVATAR_CELLS - 1 - x, y) for x, y in cells if x < half - 1]
    return render_template("pictures/avatar.svg", cells=cells, hue=dice.randrange(360))


def _picture(svg: str) -> Response:
    headers = {"Cache-Control": f"public, max-age={ASSET_SECONDS}, immutable"}
    return Response(svg, mimetype="image/svg+xml", headers=headers)
