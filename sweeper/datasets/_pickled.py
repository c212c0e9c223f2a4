"""Reads plain values and arrays of bytes from a pickle without running anything in it.

A pickle is a small program, and the usual reader runs it: it imports and calls what the file names. The reader here parses the
file with `pickletools` and carries out only the instructions that make plain values (lists, dicts, texts, numbers) and arrays of
bytes. It imports and calls nothing that the file names: the few names that arrays need are compared as text, and any other name
or instruction is refused.
"""

from __future__ import annotations

import dataclasses
import pickletools
from typing import IO, Any, cast

_ARRAY, _NDARRAY, _DTYPE, _BUFFER, _ENCODE = "array", "ndarray", "dtype", "buffer", "encode"
_NAMES = {
    "numpy.core.multiarray _reconstruct": _ARRAY,
    "numpy._core.multiarray _reconstruct": _ARRAY,
    "numpy.core.numeric _frombuffer": _BUFFER,
    "numpy._core.numeric _frombuffer": _BUFFER,
    "numpy ndarray": _NDARRAY,
    "numpy dtype": _DTYPE,
    "_codecs encode": _ENCODE,
}
"""Names a batch may hold, and what replaces each. The last ones occur in batches rewritten by Python 3."""


class RefusedError(Exception):
    """A pickle holds something that is neither a plain value nor an array of bytes."""


@dataclasses.dataclass(frozen=True)
class _Name:
    stands_for: str


@dataclasses.dataclass
class Array:
    """An array of bytes, empty until its content is read."""

    shape: tuple[int, ...] = ()
    data: bytes = b""
    is_by_column: bool = False


_MARK = object()
_BYTES = object()
"""The data type of bytes, the only one there is."""


def plain(stream: IO[bytes]) -> Any:
    """The value in a pickle of plain values and arrays of bytes; Python 2's strings come as bytes.

    Raises:
        RefusedError: It holds anything else.
        Exception: It is damaged; of any class.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name == "STOP":
            return stack.pop()
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _GIVEN:
            stack.append(argument)
        elif name in ("STRING", "BINSTRING", "SHORT_BINSTRING"):
            stack.append(argument.encode("latin-1"))
        elif name in _FRESH:
            stack.append(_FRESH[name]())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "GLOBAL":
            stack.append(_named(argument))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_named(" ".join([module, attribute])))
        elif name not in ("PROTO", "FRAME"):
            _build(name, stack)
    raise EOFError("it ends before its last instruction")


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "MARK": _MARK, "EMPTY_TUPLE": ()}
_FRESH = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
_GIVEN = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
)  # fmt: skip


def _build(name: str, stack: list[Any]) -> None:
    """Carry out an instruction that makes something of what lies on the stack."""
    match name:
        case "TUPLE1" | "TUPLE2" | "TUPLE3":
            count = int(name[-1])
            items = tuple(stack[-count:])
            del stack[-count:]
            stack.append(items)
        case "TUPLE":
            stack.append(tuple(_since_mark(stack)))
        case "LIST":
            stack.append(_since_mark(stack))
        case "DICT":
            stack.append(_pairs(_since_mark(stack)))
        case "APPEND":
            item = stack.pop()
            cast(list[Any], stack[-1]).append(item)
        case "APPENDS":
            items = tuple(_since_mark(stack))
            cast(list[Any], stack[-1]).extend(items)
        case "SETITEM":
            pairs = _pairs(stack[-2:])
            del stack[-2:]
            cast(dict[Any, Any], stack[-1]).update(pairs)
        case "SETITEMS":
            pairs = _pairs(_since_mark(stack))
            cast(dict[Any, Any], stack[-1]).update(pairs)
        case "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            stack.append(_made(called, arguments))
        case "BUILD":
            state = stack.pop()
            _fill(stack[-1], state)
        case _:
            raise RefusedError(f"it holds the instruction {name}, which plain data do not need")


def _since_mark(stack: list[Any]) -> list[Any]:
    place = max(index for index, item in enumerate(stack) if item is _MARK)
    items = stack[place + 1 :]
    del stack[place:]
    return items


def _pairs(items: list[Any]) -> dict[Any, Any]:
    # Plain keys only: hashing nested tuples that share their parts can take forever.
    if not all(isinstance(key, str | bytes | int) for key in items[::2]):
        raise RefusedError("it holds a key that is neither text nor number")
    return dict(zip(items[::2], items[1::2], strict=True))


def _named(name: str) -> _Name:
    if name not in _NAMES:
        raise RefusedError(f"it asks for {name.replace(' ', '.')[:80]!r}, which could run code")
    return _Name(_NAMES[name])


def _made(called: Any, arguments: Any) -> Any:
    """What the call of a known name would have given."""
    match called:
        case _Name(stands_for="array"):
            return Array()
        case _Name(stands_for="dtype"):
            if arguments[0] not in ("u1", b"u1", "|u1", b"|u1"):
                raise RefusedError("it holds an array that is not of bytes")
            return _BYTES
        case _Name(stands_for="encode"):
            return arguments[0].encode("latin-1")
        case _Name(stands_for="buffer"):
            data, dtype, shape, order = arguments
            if dtype is not _BYTES:
                raise RefusedError("it holds an array that is not of bytes")
            return Array(tuple(shape), bytes(data), order == "F")
    raise RefusedError("it calls something that is not an array")


def _fill(built: Any, state: Any) -> None:
    """Give an array its content; the state of a data type is not needed."""
    if isinstance(built, Array):
        *_, shape, dtype, is_by_column, data = state
        if dtype is not _BYTES or not isinstance(data, bytes):
            raise RefusedError("it holds an array that is not of bytes")
        built.shape, built.data, built.is_by_column = tuple(shape), data, bool(is_by_column)
    elif built is not _BYTES:
        raise RefusedError("it changes something that is not an array")
