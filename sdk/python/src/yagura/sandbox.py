"""What Python's own library does inside a component, where there is no system behind it.

Without this module a look at the clock, a random byte or a file would be a trap, which ends the instance without a
word. With it clock and randomness work and say the same in every run; files and network are a :class:`PermissionError`
with the author's line; what is printed goes to the plugin's log. It is for the guest alone.

It replaces functions of Python's library. What it cannot reach, C code that asks the system itself, still traps:
nothing here keeps a plugin in its sandbox, it only gives errors a message.
"""

from __future__ import annotations

import datetime
import errno
import importlib
import io
import json.decoder
import linecache
import os
import random
import re
import sys
import time
import types
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any, NoReturn

from . import log

# What Python's library imports only when a function is called. After the build there are no files to import it from.
_LATE_IMPORTS = (
    *("_strptime", "traceback", "unicodedata", "stringprep"),
    *("encodings.ascii", "encodings.latin_1", "encodings.cp1252", "encodings.idna", "encodings.punycode"),
    *("encodings.utf_8_sig", "encodings.utf_16", "encodings.utf_16_le", "encodings.utf_16_be", "encodings.utf_32"),
    *("encodings.unicode_escape", "encodings.raw_unicode_escape", "encodings.hex_codec", "encodings.base64_codec"),
)

_FILES = (
    *("open", "stat", "lstat", "fstat", "listdir", "scandir", "mkdir", "rmdir", "unlink", "remove", "rename"),
    *("replace", "link", "symlink", "readlink", "access", "chdir", "utime", "truncate", "ftruncate", "fsync"),
    *("fdatasync", "read", "pread", "readv", "pwrite", "writev", "lseek", "close", "isatty", "statvfs"),
)

_NETWORK = (
    *("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo", "gethostname", "socketpair"),
)

_sealed = False


def install() -> None:
    """Replaces clock and randomness, and makes files and network ready to be refused. Called before any module of the
    author is imported, so that what it imports by name is replaced already."""
    _replace_clock(time)
    _replace_datetime(datetime)
    _replace_random()
    for name in _FILES:
        if hasattr(os, name):
            setattr(os, name, _refusing(getattr(os, name), "files"))
    # `builtins.open` is `io.open`; the path library has the latter.
    _library("builtins").open = _library("io").open = _refusing(io.open, "files")
    _library("os").write = _write_descriptor(os.write)
    _limit_json()


def seal(sources: Iterable[str]) -> None:
    """Ends the build: from here on there are no files, no imports and no output but the log.

    The lines of the files ``sources`` stay, for tracebacks.
    """
    global _sealed
    for name in _LATE_IMPORTS:
        try:
            importlib.import_module(name)
        except ImportError:
            pass
    for source in sources:
        linecache.getlines(source)
    _library("linecache").checkcache = lambda filename=None: None
    _library("linecache").updatecache = lambda filename, module_globals=None: []
    _library("linecache").lazycache = lambda filename, module_globals: False
    # To place its carets it parses lines, and the parser looks for their file when they are not whole.
    _library("traceback")._extract_caret_anchors_from_line_segment = lambda segment: None
    _library("traceback").StackSummary._should_show_carets = lambda *_: True
    _refuse_network()
    random.seed(_SEED)
    # Modules of files can no longer be found; `ModuleNotFoundError` says so by itself where this would trap.
    sys.meta_path[:] = [finder for finder in sys.meta_path if "PathFinder" not in repr(finder)] + [_NoImports]
    sys.path.clear()
    sys.path_importer_cache.clear()
    sys.stdout.flush()
    sys.stderr.flush()
    sys.stdin = io.StringIO()
    sys.stdout, sys.stderr = _LogWriter(log.info), _LogWriter(log.warn)
    for name in ("__stdin__", "__stdout__", "__stderr__"):
        setattr(sys, name, None)
    _take_logging()
    _sealed = True


def _library(name: str) -> Any:
    """Returns a module of Python's library, to be changed as no type checker would have it."""
    return sys.modules[name]


def flush() -> None:
    """Sends what was printed without an end of line. Called at the end of every call."""
    sys.stdout.flush()
    sys.stderr.flush()


# Clock: as in the components of other languages it starts at a millisecond after 1970 and moves by a microsecond a
# look, and by the time that a sleeper asks for.
_now = 1_000_000


def _nanoseconds(*_: object) -> int:
    global _now
    _now += 1_000
    return _now


def _seconds(*_: object) -> float:
    return _nanoseconds() / 1e9


def _sleep(seconds: float) -> None:
    global _now
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    _now += int(seconds * 1e9)


def _replace_clock(time: Any) -> None:
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime"):
        if hasattr(time, name):
            setattr(time, name, _seconds)
        if hasattr(time, name + "_ns"):
            setattr(time, name + "_ns", _nanoseconds)
    time.sleep = _sleep
    gmtime, strftime, ctime, asctime = time.gmtime, time.strftime, time.ctime, time.asctime

    def from_seconds(seconds: float | None = None) -> Any:
        return gmtime(_seconds() if seconds is None else seconds)

    # The component's time zone is UTC.
    time.gmtime = time.localtime = from_seconds
    time.strftime = lambda form, at=None: strftime(form, from_seconds() if at is None else at)
    time.ctime = lambda seconds=None: ctime(_seconds() if seconds is None else seconds)
    time.asctime = lambda at=None: asctime(from_seconds() if at is None else at)


def _replace_datetime(datetime: Any) -> None:
    """Gives `datetime.datetime` and `datetime.date` a clock: theirs is in C, and asks the system."""
    moment: Any = datetime.datetime
    day: Any = datetime.date

    class MomentType(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, moment)

    class DayType(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, day)

    class Moment(moment, metaclass=MomentType):  # type: ignore[misc]
        __slots__ = ()

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(_seconds(), tz or datetime.timezone.utc).replace(tzinfo=tz)

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now()

        @classmethod
        def today(cls) -> Any:
            return cls.now()

    class Day(day, metaclass=DayType):  # type: ignore[misc]
        __slots__ = ()

        @classmethod
        def today(cls) -> Any:
            now = datetime.datetime.now()
            return cls(now.year, now.month, now.day)

    for made, name in ((Moment, "datetime"), (Day, "date")):
        made.__name__ = made.__qualname__ = name
        made.__module__ = "datetime"
        setattr(datetime, name, made)


# Randomness: xorshift64 (Marsaglia, "Xorshift RNGs", 2003), with the seed of the components of other languages.
_SEED = 88172645463325252
_state = _SEED


def _urandom(size: int, *_: object) -> bytes:
    global _state
    number, made = _state, bytearray()
    for _step in range(size):
        number ^= number << 13 & 0xFFFF_FFFF_FFFF_FFFF
        number ^= number >> 7
        number ^= number << 17 & 0xFFFF_FFFF_FFFF_FFFF
        made.append(number & 0xFF)
    _state = number
    return bytes(made)


def _replace_random() -> None:
    _library("os").urandom = _urandom
    # The module took the function by name when it was imported.
    _library("random")._urandom = _urandom
    seed = random.Random.seed

    def seed_without_system(self: random.Random, a: Any = None, version: int = 2) -> None:
        seed(self, int.from_bytes(_urandom(16), "little") if a is None else a, version)

    _library("random").Random.seed = seed_without_system
    random.seed(_SEED)


def _refuse(what: str, name: object = None) -> NoReturn:
    raise PermissionError(errno.EPERM, f"a plugin has no {what}", *([name] if isinstance(name, str) else []))


def _refusing(function: Callable[..., Any], what: str) -> Callable[..., Any]:
    """Returns the function for as long as the component is built, and a refusal from then on."""

    def refusing(*arguments: Any, **options: Any) -> Any:
        if _sealed:
            _refuse(what, arguments[0] if arguments else None)
        return function(*arguments, **options)

    refusing.__name__ = refusing.__qualname__ = function.__name__
    return refusing


def _write_descriptor(write: Callable[[int, bytes], int]) -> Callable[[int, bytes], int]:
    def to_log(descriptor: int, data: bytes) -> int:
        if not _sealed:
            return write(descriptor, data)
        if descriptor not in (1, 2):
            _refuse("files")
        (sys.stdout if descriptor == 1 else sys.stderr).write(bytes(data).decode("utf-8", "replace"))
        return len(data)

    return to_log


def _refuse_network() -> None:
    socket = sys.modules.get("socket")
    if socket is None:
        return

    def refuse(*_: object, **__: object) -> NoReturn:
        _refuse("network")

    # In place, because authors and libraries take these by name.
    _library("socket").socket.__init__ = refuse
    _library("socket").socket.__del__ = lambda self: None
    for module in (socket, sys.modules["_socket"]):
        for name in _NETWORK:
            if hasattr(module, name):
                setattr(module, name, refuse)


# Deeper than any honest document, and within the stack.
_JSON_DEPTH = 500
_JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|[^\[\]{}"]+', re.DOTALL)
_JSON_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def _limit_json() -> None:
    """Makes JSON that nests too deep the :class:`RecursionError` that it is elsewhere. Here the parser, which is in C,
    would run out of stack before Python notices, and what an attacker writes into an event would end the instance."""
    raw_decode = json.decoder.JSONDecoder.raw_decode

    def limited(self: json.JSONDecoder, s: str, idx: int = 0) -> Any:
        if s.count("[") + s.count("{") > _JSON_DEPTH:
            steps = (_JSON_STEPS.get(character, 0) for character in _JSON_TEXT.sub("", s))
            if max(accumulate(steps)) > _JSON_DEPTH:
                raise RecursionError(f"JSON nests deeper than {_JSON_DEPTH} levels")
        return raw_decode(self, s, idx)

    _library("json.decoder").JSONDecoder.raw_decode = limited


class _NoImports:
    """The finder of last resort, once the component is built."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: types.ModuleType | None = None) -> NoReturn:
        raise ModuleNotFoundError(
            f"the module `{name}` is not in the component: import it at the top of a file, so that the build finds it",
            name=name,
        )


class _LogWriter(io.TextIOBase):
    """Sends lines to the log."""

    encoding = "utf-8"

    def __init__(self, to_log: Callable[[object], None]) -> None:
        self._to_log = to_log
        self._line = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._to_log(line)
        return len(text)

    def flush(self) -> None:
        if self._line:
            line, self._line = self._line, ""
            self._to_log(line)


def _take_logging() -> None:
    """Sends what Python's `logging` gets to the log, by its level; a root logger that the author set up stays."""
    logging = sys.modules.get("logging")
    if logging is None or _library("logging").root.handlers:
        return

    class Handler(logging.Handler):  # type: ignore[name-defined,misc]
        def emit(self, record: Any) -> None:
            to_log = log.debug
            for level, at_least in ((20, log.info), (30, log.warn), (40, log.error)):
                if record.levelno >= level:
                    to_log = at_least
            to_log(self.format(record))

    logging.root.addHandler(Handler())
