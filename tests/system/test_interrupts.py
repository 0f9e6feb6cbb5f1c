"""Test deferred Ctrl-C."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from m2v_bench.system.interrupts import deferred


@pytest.fixture(autouse=True)
def python_handler() -> Iterator[None]:
    """Let Ctrl-C raise: shells start background jobs with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_interrupt_is_deferred_to_the_end_of_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():
        interrupt()
        done.append("the rest")
    assert done == ["the rest"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_error_in_the_block_does_not_swallow_the_interrupt():
    with pytest.raises(KeyboardInterrupt) as raised, deferred():
        interrupt()
        raise ValueError("of the store")
    assert isinstance(raised.value.__context__, ValueError)


def test_second_interrupt_is_delivered_at_once():
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():
        interrupt()
        interrupt()
        done.append("the rest")
    assert not done


def test_interrupt_that_is_repeated_too_late_does_not_change_the_exit_code():
    code = (
        "import atexit, time, weakref\n"
        "from m2v_bench.system.interrupts import interruptible\n"
        "def interrupt(reference): raise KeyboardInterrupt\n"
        "class Thing: pass\n"
        "def leave():\n"
        "    try: time.sleep(1)\n"
        "    finally: print('left')\n"
        "with interruptible():\n"
        "    thing = Thing()\n"
        "    reference = weakref.ref(thing, interrupt)\n"
        "    del thing  # the interrupt is dropped, and repeated after 0.1 s\n"
        "    try: raise KeyboardInterrupt\n"
        "    finally: atexit.register(leave)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "left\n")
    assert done.stderr == "interrupted; run the same command again to go on from here\n"


def test_other_threads_are_unaffected():
    with deferred():
        pass
    handlers = []

    def other() -> None:
        with deferred():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]
