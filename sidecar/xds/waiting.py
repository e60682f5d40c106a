"""The names of one stream that wait to be looked at, each once, in the order in which they are."""

from __future__ import annotations

from collections import OrderedDict


class Waiting:
    """`asked`: by the client; they go first, so that a push to thousands does not keep a handshake waiting.

    `changed`: others are there now. `farewell`: to be answered as removed, whatever there is.
    """

    def __init__(self) -> None:
        # Not a dict: taking its first item again and again costs a scan over the places of those taken before.
        self.asked: OrderedDict[str, None] = OrderedDict()
        self.changed: OrderedDict[str, None] = OrderedDict()
        self.farewell: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self.asked or self.changed or self.farewell)

    def __contains__(self, name: str) -> bool:
        return name in self.asked or name in self.changed

    def next(self) -> str | None:
        if self.asked:
            name, _ = self.asked.popitem(last=False)
            # It would be due twice in a slice: nothing of it is sent yet.
            self.changed.pop(name, None)
            return name
        if self.changed:
            name, _ = self.changed.popitem(last=False)
            return name
        return None

    def say_farewell(self) -> list[str]:
        names = list(self.farewell)
        self.farewell.clear()
        return names

    def forget(self, name: str) -> None:
        self.asked.pop(name, None)
        self.changed.pop(name, None)
        self.farewell.pop(name, None)
