"""What the pages refuse themselves, in words for the person before the screen. Only data, and the error.

What the Protocols refuse is shown with the words of api.catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import NameplateError


@dataclass(frozen=True, slots=True)
class Refusal:
    """`way_back`: whether the way on is a new link from the platform."""

    status: int
    title: str
    meaning: str
    way_back: bool = True


REFUSALS: Mapping[str, Refusal] = {
    "ticket_forged": Refusal(
        403, "This link does not work", "It is damaged, or was not made here. Open these pages from your account again."
    ),
    "ticket_expired": Refusal(
        403, "This link has expired", "A link is good for one minute. Open these pages from your account again."
    ),
    "ticket_used": Refusal(
        403, "This link was used already", "A link works once. Open these pages from your account again."
    ),
    "ticket_ended": Refusal(
        403,
        "This link has ended",
        "Your sessions were ended since it was made. Open these pages from your account again.",
    ),
    "signed_out": Refusal(
        401, "You are signed out", "Your session has ended. Open these pages from your account again."
    ),
    "form_forged": Refusal(
        403,
        "This form cannot be taken",
        "It is from another session or another site. Nothing was changed. Load the page anew and try again.",
        way_back=False,
    ),
    "form_unreadable": Refusal(
        400, "This form cannot be read", "Nothing was changed. Load the page anew and try again.", way_back=False
    ),
    "form_too_large": Refusal(
        413, "This form is too large", "Nothing was changed. Files and texts may have 1 MB together.", way_back=False
    ),
}


class Refused(NameplateError):
    """`code`: of REFUSALS."""

    def __init__(self, code: str) -> None:
        self.refusal = REFUSALS[code]
        super().__init__(code, self.refusal.meaning)
