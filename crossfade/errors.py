"""The one exception a user is meant to read: a sentence that says what, where and what to do."""

import difflib
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """Something the user can mend. Entry points print the message alone (no traceback) and exit with status 2."""


def unknown_name(what: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name nobody registered, with the nearest valid one.

    Example: ``unknown_name("method", "stlc", METHODS)`` → "unknown method 'stlc'; did you mean 'stcl'? Known: …".
    """
    options = sorted(known)
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return UserError(f"unknown {what} '{name}'{hint} Known: {', '.join(options)}")


def unknown_key(place: str, known: Sequence[str]) -> str:
    """The sentence for a key at `place` (dotted) that nobody declared, with the nearest of those known there."""
    near = difflib.get_close_matches(place.rsplit(".", 1)[-1], known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}" if known else "remove it"
    return f"unknown key '{place}'; {hint}"
