"""Signals that stop a command: what raises, what ends the process at once, and what waits for the end of a step."""

import signal
import subprocess
import sys

import pytest

from sepo_data.console import interrupts

PROGRAM = """
import os, signal, sys, time
from sepo_data.console.interrupts import *
from sepo_data.console.interrupts import _received
send = lambda name: os.kill(os.getpid(), getattr(signal, name))
def lost():  # an exception in a destructor is lost
    class Careless:
        def __del__(self): send("SIGINT"); time.sleep(1)
    Careless()
def library():
    try: send("SIGINT"); time.sleep(1)
    except KeyboardInterrupt: raise ImportError("numpy failed to import") from None
def waits():
    with postponed():
        send("SIGTERM"); send("SIGUSR1"); time.sleep(0.05)
        assert preempted()
        print("step")
    raise_noted()
def evaluates(alone):
    with postponed():
        try:
            with not_postponed(alone=alone): send("SIGTERM"); time.sleep(0.05); print("whole")
        except Stopped: note_again()
        assert preempted() and not stopped_by()
        print("saved")
        raise_noted()
def again():
    try: send("SIGINT"); time.sleep(1)
    finally: send("SIGINT"); time.sleep(1); print("never")
def twice_by_launcher():
    try: send("SIGTERM"); time.sleep(1)
    finally: send("SIGTERM"); time.sleep(0.05); print("put in order")
def child():
    if os.fork() == 0: send("SIGTERM"); time.sleep(5)
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
raise_on_signals()
try:
    eval(sys.argv[1])
    time.sleep(1)
except BaseException as error: print(type(error).__name__)
leave_on_signals()
sys.stdout.flush()
sys.exit(128 + stopped_by() if stopped_by() else 0)
"""


def handle_signals():
    """Undo what the tests were started with: a job in the background ignores Ctrl-C."""
    for number in (signal.SIGINT, *interrupts.PREEMPTIONS):
        signal.signal(number, signal.SIG_DFL)


def run(call, prepare=handle_signals):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, call],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        preexec_fn=prepare,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "code", "printed"),
    [
        ('send("SIGINT")', 130, "KeyboardInterrupt"),
        ('send("SIGTERM")', 143, "Stopped"),
        ('send("SIGHUP")', 129, "Stopped"),
        ('send("SIGUSR1")', 138, "Stopped"),
        ("lost()", 130, "KeyboardInterrupt"),
        ("library()", 130, "ImportError"),
        ("again()", 130, ""),
        ("twice_by_launcher()", 143, "put in order Stopped"),
        ("waits()", 143, "step Stopped"),
        ("evaluates(True)", 143, "saved Stopped"),
        ("evaluates(False)", 143, "whole saved Stopped"),
        ("child()", 0, "-15"),
        ('(end_on_signals(), send("SIGTERM"))', -signal.SIGTERM, ""),
        ('(end_on_signals(), send("SIGINT"))', 130, "KeyboardInterrupt"),
    ],
)
def test_signals(call, code, printed):
    done = run(call)
    assert (done.returncode, done.stdout.split(), done.stderr) == (code, printed.split(), "")


@pytest.mark.slow
def test_an_ignored_signal_stays_ignored():
    """As under nohup, and of a job in the background."""
    done = run(
        'send("SIGHUP"), send("SIGINT"), print("goes on")',
        lambda: [signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGINT)],
    )
    assert (done.returncode, done.stdout) == (0, "goes on\n")


def test_a_library_that_is_used_without_the_command_knows_no_signal():
    assert not interrupts.preempted()
    assert not interrupts.stopped_by()
