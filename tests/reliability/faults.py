"""Faults of a process: code that is executed in it before `sepo` starts."""

from __future__ import annotations

WATCH_NAMES = """
import os, signal, sys

def watch_names(out, reach):
    '''Call `reach` before each change of a name in `out` or of `out` itself: a file opened to be written, a rename'''
    def hook(event, arguments):
        if event == "open":
            path, mode, flags = arguments
            creates = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            names = [path] if creates and not isinstance(path, int) else []
        elif event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
            creates = event in ("os.rename", "os.mkdir")
            names = arguments[:2] if event == "os.rename" else arguments[:1]
        else:
            return
        if any(os.fsdecode(name).startswith(out) for name in names if isinstance(name, (str, bytes, os.PathLike))):
            reach(event, creates)
    sys.addaudithook(hook)

count = 0
"""

COUNT = """
def reach(event, creates):
    with open({log!r}, "ab", buffering=0) as file:
        file.write(b"+")
watch_names({out!r}, reach)
"""

KILL = """
def reach(event, creates):
    global count
    count += 1
    if count == {point}:
        os.kill(os.getpid(), signal.SIGKILL)
watch_names({out!r}, reach)
"""

NO_SPACE = """
def reach(event, creates):
    global count
    count += creates
    if creates and count >= {point}:
        raise OSError(28, os.strerror(28), {out!r})
watch_names({out!r}, reach)
"""

LONGEST_FILE = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.{action})
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
"""

LITTLE_MEMORY = """
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + {more}
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
"""


def counting_names(out: str, log: str) -> str:
    """A byte is added to `log` before each change of a name in `out`."""
    return WATCH_NAMES + COUNT.format(out=out, log=log)


def killed_at_name(out: str, point: int) -> str:
    """SIGKILL before the `point`th change of a name in `out`, counted from 1."""
    return WATCH_NAMES + KILL.format(out=out, point=point)


def no_space_from(out: str, point: int) -> str:
    """ENOSPC for the `point`th name that is given in `out`, and for all after it."""
    return WATCH_NAMES + NO_SPACE.format(out=out, point=point)


def killed_at_byte(size: int) -> str:
    """A signal that cannot be handled ends the process in the write that takes a file beyond `size` bytes."""
    return LONGEST_FILE.format(action="SIG_DFL", size=size)


def largest_file(size: int) -> str:
    """EFBIG for the write that takes a file beyond `size` bytes, in native code as well."""
    return LONGEST_FILE.format(action="SIG_IGN", size=size)


def little_memory(more: int = 2 << 30) -> str:
    """No more than `more` bytes of memory beyond what the process has mapped already."""
    return LITTLE_MEMORY.format(more=more)
