"""Runs coroutines of tests."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def run_async(coroutine: Coroutine[Any, Any, T], *, seconds: float = 50) -> T:
    """Run a coroutine in a thread of its own, and return its result.

    A thread that has opened a page in a browser cannot: Playwright leaves an event loop running in it.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asyncio.wait_for(coroutine, seconds)).result()
