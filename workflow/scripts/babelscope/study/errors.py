"""The one exception that means: the user can correct this."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def printable(text: str) -> str:
    """The text with what a terminal would obey, or show in another order, spelt out: ``\\x1b``, ``\\u202e``.

    Names of files and columns, and words of other people's files, stand in messages. Lines and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _spelt_out(c) for c in text)


def _spelt_out(character: str) -> str:
    # other spaces than the ASCII one are not printable in Python's sense, and do no harm
    return character if character.isspace() and ord(character) >= 0xA0 else repr(character)[1:-1]


class BabelscopeError(ValueError):
    """A mistake in the input that a user can correct.

    The message names the value, where it came from, and what is allowed, and is ``printable``. Adaptors print
    it without a traceback; everything else that is raised is a defect of Babelscope and keeps its traceback.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*(printable(arg) if isinstance(arg, str) else arg for arg in args))


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Put ``place`` before the message of a ``BabelscopeError`` raised within."""
    try:
        yield
    except BabelscopeError as error:
        raise BabelscopeError(f"{place}: {error}") from error


def require(condition: bool, message: str) -> None:
    """Raise ``BabelscopeError`` with the message where the condition does not hold."""
    if not condition:
        raise BabelscopeError(message)
