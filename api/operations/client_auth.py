"""What a tenant can do with the certificates of its domains' clients, and with the consumers that these stand for."""

from __future__ import annotations

from api.operations.operation import BODY, EVERYWHERE, QUERY, Operation, Success

_CLIENT_AUTH = (*EVERYWHERE, *QUERY, "client_auth_unavailable")
_DOMAIN = (*_CLIENT_AUTH, "domain_not_found")
_CHANGE = "client_auth_changes_too_many"
_CONSUMER = (
    *BODY,
    "list_too_long",
    "consumer_name_invalid",
    "consumer_kind_unknown",
    "consumer_value_invalid",
    "consumer_exists",
    "group_invalid",
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="putClientAuth",
        method="PUT",
        path="/domains/{id}/client-auth",
        summary="Ask the domain's clients for certificates",
        description="In place of what was asked for before, revocation lists included. To change an authority, send "
        "the old and the new one together first. Every request is held against what is set now, also on connections "
        "that are open.",
        parameters=("id", "X-Request-Id"),
        body="NewClientAuth",
        successes={
            200: Success("It replaced what there was, or was so already.", "ClientAuth"),
            201: Success("Clients were not asked before.", "ClientAuth"),
        },
        problems=(
            *_DOMAIN,
            *BODY,
            "mode_unknown",
            "identify_by_invalid",
            "groups_from_invalid",
            "ca_too_large",
            "ca_unreadable",
            "ca_is_a_leaf",
            "ca_unsupported",
            "ca_expired",
            "crl_too_large",
            "crl_unreadable",
            "crl_unsupported",
            "crl_unrelated",
            "crl_missing",
            "crl_stale",
            "client_auth_limit_reached",
            "platform_limit_reached",
            _CHANGE,
        ),
    ),
    Operation(
        name="getClientAuth",
        method="GET",
        path="/domains/{id}/client-auth",
        summary="Show what the domain's clients are asked for",
        parameters=("id", "X-Request-Id"),
        successes={200: Success("The settings, and what is in the bundles.", "ClientAuth")},
        problems=(*_DOMAIN, "client_auth_not_set"),
        head=True,
    ),
    Operation(
        name="deleteClientAuth",
        method="DELETE",
        path="/domains/{id}/client-auth",
        summary="Ask the domain's clients for no certificates any more",
        description="Everybody may use the domain then.",
        parameters=("id", "X-Request-Id"),
        successes={204: Success("Not asked any more.")},
        problems=(*_DOMAIN, "client_auth_not_set", _CHANGE),
    ),
    Operation(
        name="addConsumer",
        method="POST",
        path="/consumers",
        summary="Name whom a client certificate stands for",
        description="Several consumers may have one name, as while a client changes its certificate.",
        parameters=("X-Request-Id",),
        body="NewConsumer",
        successes={201: Success("Made.", "Consumer", ("Location",))},
        problems=(*_CLIENT_AUTH, *_CONSUMER, "consumer_limit_reached", _CHANGE),
    ),
    Operation(
        name="listConsumers",
        method="GET",
        path="/consumers",
        summary="List the tenant's consumers, oldest first",
        parameters=("limit", "cursor", "X-Request-Id"),
        successes={200: Success("A page.", "ConsumerList", ("Link",))},
        problems=(*_CLIENT_AUTH, "invalid_cursor"),
        head=True,
    ),
    Operation(
        name="getConsumer",
        method="GET",
        path="/consumers/{id}",
        summary="Show a consumer",
        parameters=("consumer", "X-Request-Id"),
        successes={200: Success("The consumer.", "Consumer")},
        problems=(*_CLIENT_AUTH, "consumer_not_found"),
        head=True,
    ),
    Operation(
        name="replaceConsumer",
        method="PUT",
        path="/consumers/{id}",
        summary="Change a consumer",
        parameters=("consumer", "X-Request-Id"),
        body="NewConsumer",
        successes={200: Success("As it is now.", "Consumer")},
        problems=(*_CLIENT_AUTH, *_CONSUMER, "consumer_not_found", _CHANGE),
    ),
    Operation(
        name="deleteConsumer",
        method="DELETE",
        path="/consumers/{id}",
        summary="Remove a consumer",
        description="Where consumers are looked up, its certificate is refused from then on.",
        parameters=("consumer", "X-Request-Id"),
        successes={204: Success("Removed.")},
        problems=(*_CLIENT_AUTH, "consumer_not_found", _CHANGE),
    ),
)
