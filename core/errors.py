"""The one base of the errors that Nameplate explains to somebody.

An error of this family carries a stable code and a sentence. It knows nothing of HTTP: statuses, titles and
headers belong to `api`, which finds them by the code.
"""


class NameplateError(Exception):
    """A refusal or a failure that somebody can act on.

    `code` is lower_snake_case and never changes its meaning; programs compare it.
    `message` is one or two sentences for a person. Neither may hold a secret: both are logged and sent out.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message
