"""The one exception that means: the user can mend this."""


class BabelscopeError(ValueError):
    """A mistake in the input that a user can mend.

    The message names the value, where it came from, and what is allowed. Adaptors print it without a
    traceback; everything else that is raised is a defect of Babelscope and keeps its traceback.
    """
