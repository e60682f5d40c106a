"""Small pieces that everything else is made of."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import betterproto2

from sidecar.xds.resources.messages import core, matcher, mutation_rules, pack, string, xds_core

V3: Final = core.ApiVersion.V3
OVERWRITE: Final = core.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD

# A secret that does not come delays nothing but what needs it, and that no longer.
SECRET_PATIENCE: Final = timedelta(seconds=2)


def extension(name: str, message: betterproto2.Message) -> core.TypedExtensionConfig:
    return core.TypedExtensionConfig(name=name, typed_config=pack(message))


def matching(name: str, message: betterproto2.Message) -> xds_core.TypedExtensionConfig:
    """The same, inside a matcher."""
    return xds_core.TypedExtensionConfig(name=name, typed_config=pack(message))


def ads(patience: timedelta | None = None) -> core.ConfigSource:
    """From the stream that this comes by itself. `patience`: how long who refers to it waits for it; default 15 s."""
    return core.ConfigSource(ads=core.AggregatedConfigSource(), resource_api_version=V3, initial_fetch_timeout=patience)


def removals(*headers: str) -> list[mutation_rules.HeaderMutation]:
    return [mutation_rules.HeaderMutation(remove=header) for header in headers]


def addition(key: str, value: str) -> mutation_rules.HeaderMutation:
    return mutation_rules.HeaderMutation(append=core.HeaderValueOption(header=core.HeaderValue(key=key, value=value)))


def exact(*values: str) -> list[string.StringMatcher]:
    return [string.StringMatcher(exact=value) for value in values]


def predicate(
    input_: xds_core.TypedExtensionConfig,
    value: matcher.StringMatcher | None = None,
    custom: xds_core.TypedExtensionConfig | None = None,
) -> matcher.MatcherMatcherListPredicate:
    return matcher.MatcherMatcherListPredicate(
        single_predicate=matcher.MatcherMatcherListPredicateSinglePredicate(
            input=input_, value_match=value, custom_match=custom
        )
    )


def negation(of: matcher.MatcherMatcherListPredicate) -> matcher.MatcherMatcherListPredicate:
    return matcher.MatcherMatcherListPredicate(not_matcher=of)


def on_match(name: str, action: betterproto2.Message) -> matcher.MatcherOnMatch:
    return matcher.MatcherOnMatch(action=matching(name, action))


def milliseconds(value: int) -> timedelta:
    return timedelta(milliseconds=value)
