"""The errors a user can act on. Anything else is a bug and keeps its traceback."""

from __future__ import annotations


class SepoError(Exception):
    """Something the user can fix: what is wrong and where, and what to type next."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class RefusedError(SepoError):
    """The output holds something that this command must not touch."""

    exit_code = 3


class HubError(SepoError):
    """The Hub could not be reached, or refused the credentials."""

    exit_code = 4
