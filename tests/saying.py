"""Collect all text of an error that a log or a crash report would show."""

import traceback


def everything_said(error: BaseException) -> str:
    """Return the error as text: message, `repr`, arguments, and traceback with what caused it."""
    shown = "".join(traceback.format_exception(error))
    return "\n".join([str(error), repr(error), repr(error.args), shown])
