"""docs/reference/settings.md, from the settings classes: a section for each class that declares some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from cli.reference.markdown import anchor, joined, prose, table
from cli.reference.types import in_words, is_secret
from control.settings import AuditSettings, ControlSettings, OperatorSettings, OwnerSettings
from core.settings import variable
from sidecar.settings import SidecarSettings

# Who reads the environment. The first two are the processes; the others are commands.
READERS: Mapping[str, type[BaseSettings]] = {
    "control": ControlSettings,
    "sidecar": SidecarSettings,
    "`nameplate migrate`": OwnerSettings,
    "`nameplate tenants`, `certificates`": OperatorSettings,
    "`nameplate audit`": AuditSettings,
}
BOTH = "both"
# The parts of the page, by the class that declares a setting.
TITLES: Mapping[str, str] = {
    BOTH: "Both processes",
    "VaultSettings": "Vault, of both processes",
    "ControlDatabase": "PostgreSQL, of control",
    "ApiDatabase": "PostgreSQL, of control",
    "ControlSettings": "control",
    "NotificationSettings": "Webhooks and mail, of control",
    "UiSettings": "Pages, of control",
    "SidecarSettings": "sidecar",
    "TraceSettings": "Traces, of both processes",
    "OwnerDatabase": "Migration",
}

INTRODUCTION = """\
# Settings

Made by `nameplate reference settings` from the settings classes. Settings are environment variables, and nothing else
is read. A mistake is named at the start by its variable, never with its value: the process ends with code 2. Lists are
separated by commas. *required*: there is no default. *secret*: its value is not logged, printed or shown in an error.

Where a secret can be a file, the file is read when it is needed, so that it can be rotated without a restart.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    field: FieldInfo


def page() -> str:
    return joined(_lines())


def sections() -> Mapping[str, Sequence[Setting]]:
    """The settings by title, each once; what both processes declare is theirs together."""
    found: dict[str, list[Setting]] = {title: [] for title in TITLES.values()}
    seen: set[str] = set()
    for reader in READERS.values():
        for attribute, field in reader.model_fields.items():
            setting = Setting(_name(attribute, field), field)
            if setting.name not in seen:
                seen.add(setting.name)
                own = _owner(reader, attribute)
                shared = own == ControlSettings.__name__ and "sidecar" in readers(setting.name)
                found.setdefault(TITLES.get(BOTH if shared else own, own), []).append(setting)
    return {title: settings for title, settings in found.items() if settings}


def readers(name: str) -> Sequence[str]:
    return [
        reader
        for reader, settings in READERS.items()
        if any(_name(attribute, field) == name for attribute, field in settings.model_fields.items())
    ]


def _lines() -> Iterator[str]:
    yield from INTRODUCTION.splitlines()
    for title, settings in sections().items():
        yield from ("", f"## {title}")
        for who in dict.fromkeys(", ".join(readers(setting.name)) for setting in settings):
            yield from ("", f"Read by {who}.")
            yield from table(
                ("setting", "value", "default", "meaning"),
                [
                    (
                        f"{anchor(setting.name)}`{setting.name}`",
                        kind(setting),
                        default(setting.field),
                        meaning(setting.field),
                    )
                    for setting in settings
                    if ", ".join(readers(setting.name)) == who
                ],
            )


def meaning(field: FieldInfo) -> str:
    others = [f"`{name}`" for name in _names(field)[1:]]
    return f"{prose(field.description or '')}{' Also as ' + ', '.join(others) + '.' if others else ''}"


def kind(setting: Setting) -> str:
    words = "a file" if setting.name.endswith("_FILE") else in_words(setting.field)
    return f"{words}; *secret*" if is_secret(setting.field.annotation) else words


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    value: Any = field.default
    if value is PydanticUndefined or value is None or value in ((), ""):
        return "none" if field.description is None or "efault" not in field.description else ""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        return f"{seconds / 3600:g}" if "our" in str(field.description) else f"{seconds:g}"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _name(attribute: str, field: FieldInfo) -> str:
    """Its variable; the first, where it may come from one of several."""
    return (_names(field) or [variable((attribute,))])[0]


def _names(field: FieldInfo) -> Sequence[str]:
    """Those that the class gives it itself."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [alias] if isinstance(alias, str) else []


def _owner(reader: type[BaseSettings], attribute: str) -> str:
    """The class that declares it: the last of the order of resolution that has it among its own annotations."""
    return next(cls.__name__ for cls in reversed(reader.__mro__) if attribute in vars(cls).get("__annotations__", {}))
