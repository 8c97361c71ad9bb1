"""A pickle executed by a machine that cannot do harm.

A pickle is a program for a stack machine that can call anything. This is such a machine with
everything left out but values, containers, numpy's arrays and dtypes: no name is ever looked up,
no object's method is called, and opcodes that arrays do not need do not exist. A name other than
the few that arrays need is reported and refused. What it makes is bounded by the file's size, the
number of steps, and a budget for copies. Python 2's strings are kept as bytes.

Opcodes: the comments of CPython's ``pickletools.py``.
"""

from __future__ import annotations

import codecs
import mmap
import struct
from collections.abc import Callable
from typing import Any

from cache.errors import InvalidRequest, TooLarge
from worker.sources.pickled_arrays import NAMES, PickledArray, PickledDtype, PickledName, call

MAX_STEPS = 10_000_000
_REMEDY = "pickle a dict of numpy arrays and nothing else"


class PickleMachine:
    """Reads ``data`` from its position on; ``max_bytes`` bounds the arrays that it makes."""

    def __init__(self, data: mmap.mmap, max_bytes: int) -> None:
        self._data = data
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._left = max_bytes

    def run(self) -> Any:
        """Execute up to STOP and give what is on top of the stack then.

        Raises:
            InvalidRequest: a name or an opcode that arrays do not need.
            TooLarge: too many steps, or too many bytes of arrays.
            ValueError, TypeError, LookupError, OverflowError, struct.error: no sound pickle.
        """
        for _ in range(MAX_STEPS):
            code = self.take(1)
            if code == b".":
                return self.pop()
            execute = _CODES.get(code)
            if execute is None:
                raise InvalidRequest(
                    f"the pickle has the opcode {code!r}, which arrays do not need",
                    value=repr(code),
                    remedy=_REMEDY,
                )
            execute(self)
        raise TooLarge(
            f"the pickle has more than {MAX_STEPS} steps",
            value=MAX_STEPS,
            remedy="pickle numpy arrays, not long lists",
        )

    def take(self, count: int) -> bytes:
        data = self._data.read(count) if count >= 0 else b""
        if len(data) != count:
            raise ValueError("it ends early")
        return data

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def skip(self, count: int) -> None:
        self.take(count)

    def sized(self, layout: str) -> bytes:
        return self.take(self.number(layout))

    def line(self) -> bytes:
        line = self._data.readline()
        if not line.endswith(b"\n"):
            raise ValueError("it ends early")
        return line[:-1]

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        self._top()
        return self._stack.pop()

    def _top(self) -> Any:
        # Nothing may reach below the innermost mark.
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise IndexError("its stack is empty")
        return self._stack[-1]

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def pop_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def push_tuple(self, count: int) -> None:
        self.push(tuple([self.pop() for _ in range(count)][::-1]))

    def extend(self, items: list[Any]) -> None:
        target = self._top()
        if type(target) is not list:
            raise TypeError(f"items are appended to a {type(target).__name__}")
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self._top()
        if type(target) is not dict:
            raise TypeError(f"items are set in a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Tuples as keys could be nested deeply enough to exhaust the C stack when hashed.
            if type(key) not in (str, bytes):
                raise TypeError(f"a key is a {type(key).__name__}")
            target[key] = value

    def set_pair(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def append(self) -> None:
        item = self.pop()
        self.extend([item])

    def push_dict(self) -> None:
        items = self.pop_mark()
        self.push({})
        self.set_items(items)

    def memoize(self, index: int) -> None:
        self._memo[index] = self._top()

    def memoize_next(self) -> None:
        self.memoize(len(self._memo))

    def recall(self, index: int) -> None:
        self.push(self._memo[index])

    def name(self, module: Any, attribute: Any) -> None:
        wanted = f"{module}.{attribute}" if type(module) is type(attribute) is str else "no name"
        if wanted not in NAMES:
            raise InvalidRequest(
                f"the pickle asks for {wanted!r}; it was not executed", value=wanted, remedy=_REMEDY
            )
        self.push(PickledName(NAMES[wanted]))

    def name_from_stack(self) -> None:
        attribute, module = self.pop(), self.pop()
        self.name(module, attribute)

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        self.push(call(function, arguments, self.spend))

    def build(self) -> None:
        state, target = self.pop(), self._top()
        if not isinstance(target, (PickledArray, PickledDtype)) or type(state) is not tuple:
            raise TypeError(f"a state is given to a {type(target).__name__}")
        target.set_state(state, self.spend)

    def spend(self, count: int) -> None:
        """Count bytes that are about to be copied. Raises TooLarge beyond the budget."""
        self._left -= count
        if self._left < 0:
            raise TooLarge(
                "the pickle's arrays have more bytes than allowed",
                value=count,
                remedy="upload the arrays as npz or HDF5, in parts",
            )


def _long(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _int_line(line: bytes) -> int | bool:
    return {b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line)


def _quoted(line: bytes) -> bytes:
    """A Python 2 string literal without its quotes."""
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise ValueError("a string lacks its quotes")
    return codecs.escape_decode(line[1:-1])[0]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


_CODES: dict[bytes, Callable[[PickleMachine], object]] = {
    b"\x80": lambda m: m.skip(1),  # PROTO
    b"\x95": lambda m: m.skip(8),  # FRAME
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": lambda m: m.push(_int_line(m.line())),
    b"L": lambda m: m.push(int(m.line().rstrip(b"L"))),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"\x8a": lambda m: m.push(_long(m.sized("<B"))),
    b"F": lambda m: m.push(float(m.line())),
    b"G": lambda m: m.push(m.number(">d")),
    b"S": lambda m: m.push(_quoted(m.line())),
    b"T": lambda m: m.push(m.sized("<i")),
    b"U": lambda m: m.push(m.sized("<B")),
    b"B": lambda m: m.push(m.sized("<I")),
    b"C": lambda m: m.push(m.sized("<B")),
    b"\x8e": lambda m: m.push(m.sized("<Q")),
    b"\x96": lambda m: m.push(m.sized("<Q")),
    b"V": lambda m: m.push(m.line().decode("raw-unicode-escape")),
    b"X": lambda m: m.push(_text(m.sized("<I"))),
    b"\x8c": lambda m: m.push(_text(m.sized("<B"))),
    b"\x8d": lambda m: m.push(_text(m.sized("<Q"))),
    b"(": PickleMachine.mark,
    b"0": PickleMachine.pop,
    b"1": PickleMachine.pop_mark,
    b"]": lambda m: m.push([]),
    b"l": lambda m: m.push(m.pop_mark()),
    b"a": PickleMachine.append,
    b"e": lambda m: m.extend(m.pop_mark()),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.pop_mark())),
    b"\x85": lambda m: m.push_tuple(1),
    b"\x86": lambda m: m.push_tuple(2),
    b"\x87": lambda m: m.push_tuple(3),
    b"}": lambda m: m.push({}),
    b"d": PickleMachine.push_dict,
    b"s": PickleMachine.set_pair,
    b"u": lambda m: m.set_items(m.pop_mark()),
    b"p": lambda m: m.memoize(int(m.line())),
    b"q": lambda m: m.memoize(m.number("<B")),
    b"r": lambda m: m.memoize(m.number("<I")),
    b"\x94": PickleMachine.memoize_next,
    b"g": lambda m: m.recall(int(m.line())),
    b"h": lambda m: m.recall(m.number("<B")),
    b"j": lambda m: m.recall(m.number("<I")),
    b"c": lambda m: m.name(_text(m.line()), _text(m.line())),
    b"\x93": PickleMachine.name_from_stack,
    b"R": PickleMachine.reduce,
    b"b": PickleMachine.build,
}
