"""Bytes both ways, once both sides have left HTTP."""
from __future__ import annotations

import logging

from hotpath.core.tasks import spawn

from .line import Line

log = logging.getLogger(__name__)


def tunnel(browser: Line, program: Line, from_browser: bytes, from_program: bytes, stall_s: float) -> None:
    """In a task: until both sides have ended, or one broke. `from_…`: what came behind the switch already.

    Nobody has to say anything ever; but who does not take what the other says, for `stall_s`, is gone.
    """
    back = spawn(_copy, program, browser, from_program, stall_s, name="ide preview tunnel")
    try:
        _copy(browser, program, from_browser, stall_s)
        back.join()
    finally:
        back.cancel()
        program.close(politely=not program.closed)
        browser.close(politely=not browser.closed)


def _copy(source: Line, target: Line, first: bytes, stall_s: float) -> None:
    try:
        target.write(first, stall_s)
        while piece := source.read():
            target.write(piece, stall_s)
        target.shut()
    except (OSError, TimeoutError) as error:
        log.debug("preview tunnel ended cause=%s", error)
        source.close()
        target.close()
