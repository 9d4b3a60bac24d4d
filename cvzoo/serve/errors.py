"""What a server does not do for a client, and why."""

from __future__ import annotations


class Refused(Exception):
    """A request that is answered with a status of 4xx or 503, and the reason in a sentence."""

    def __init__(self, status: int, detail: str, retry_after: float | None = None) -> None:
        """`retry_after`: in about how many seconds it is worth to try again; None where it never is."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after
