"""The one exception that means: the user can correct this."""

from collections.abc import Iterator
from contextlib import contextmanager


class BabelscopeError(ValueError):
    """A mistake in the input that a user can correct.

    The message names the value, where it came from, and what is allowed. Adaptors print it without a
    traceback; everything else that is raised is a defect of Babelscope and keeps its traceback.
    """


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
