"""Handle Ctrl-C."""

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[None]:
    """On Ctrl-C, print how to resume and exit with 130.

    Python drops an interrupt that arrives where nothing can be raised, e.g. in the callback of a weak reference; it is
    then repeated after 0.1 s.
    """
    before = sys.unraisablehook

    def hook(dropped: "sys.UnraisableHookArgs") -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            before(dropped)
            return
        again = threading.Timer(0.1, _thread.interrupt_main)
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    except KeyboardInterrupt:
        # an interrupt that is repeated now must not end the exit, and another Ctrl-C ends it without a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        print("interrupted; run the same command again to go on from here", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        sys.unraisablehook = before


@contextmanager
def deferred() -> Iterator[None]:
    """Defer a Ctrl-C to the end of the block; a second one is delivered at once.

    For foreign code that swallows interrupts, or that leaves an unrecoverable state when interrupted.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            before(number, frame)
        held.append(number)

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if held:
            before(signal.SIGINT, None)
