"""Test deferred Ctrl-C."""

import os
import signal
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
