"""A Ctrl-C that has to wait."""

import os
import signal
import threading

import pytest

from m2v_bench.system.interrupts import deferred


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_waits_for_the_end_of_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():
        interrupt()
        done.append("the rest")
    assert done == ["the rest"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_of_the_block_does_not_swallow_it():
    with pytest.raises(KeyboardInterrupt) as raised, deferred():
        interrupt()
        raise ValueError("of the store")
    assert isinstance(raised.value.__context__, ValueError)


def test_a_second_interrupt_comes_through():
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():
        interrupt()
        interrupt()
        done.append("the rest")
    assert not done


def test_without_an_interrupt_and_in_other_threads_nothing_changes():
    with deferred():
        pass
    found = []

    def other() -> None:
        with deferred():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
