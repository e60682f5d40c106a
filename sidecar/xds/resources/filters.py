"""The HTTP filters of both lanes, and the two network filters that the connection lane has before them.

The reasons for each of them stand in envoy/static.yaml and envoy/connection.yaml; a test holds the two against this.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sidecar.xds.ended import ASK, FILTER_NAME
from sidecar.xds.resources.extension import (
    V3,
    addition,
    ads,
    exact,
    extension,
    matching,
    negation,
    on_match,
    predicate,
    removals,
)
from sidecar.xds.resources.messages import (
    CelMatcher,
    ConnectionExtAuthz,
    HttpAttributesCelMatchInput,
    Struct,
    Value,
    cel,
    composite,
    core,
    early_mutation,
    ext_authz,
    filter_state,
    header_mutation,
    http,
    inputs,
    listener,
    matcher,
    metadata_matcher,
    mutation_rules,
    pack,
    router,
    set_filter_state,
    set_metadata,
    string,
    types,
    xds_type,
)

CHECKS: Final = "authz"  # the cluster, in envoy/bootstrap.yaml
EXT_AUTHZ: Final = "envoy.filters.http.ext_authz"
HEADER_MUTATION: Final = "envoy.filters.http.header_mutation"

TENANT_HEADER: Final = "x-tenant-id"
HOST_HEADER: Final = "x-nameplate-host"
CLUSTER_HEADER: Final = "x-nameplate-cluster"
CERTIFICATE_HEADER: Final = "x-forwarded-client-cert"

# What the connection's decision is kept as, by what the check calls it (dynamic metadata).
DECISION: Final = ("tenant", "domain", "host", "cluster")
DECIDED_HEADERS: Final = {TENANT_HEADER: "tenant", HOST_HEADER: "host", CLUSTER_HEADER: "cluster"}

ALLOWED: Final = f"{TENANT_HEADER}|x-nameplate-[a-z-]+"


def claims_of_a_client() -> list[mutation_rules.HeaderMutation]:
    prefix = mutation_rules.HeaderMutationRemoveOnMatch(key_matcher=string.StringMatcher(prefix="x-nameplate-"))
    return [
        *removals(TENANT_HEADER),
        mutation_rules.HeaderMutation(remove_on_match=prefix),
        *removals("x-cluster", "forwarded", "x-forwarded-host", "x-forwarded-port"),
    ]


def http_filter(config: core.TypedExtensionConfig) -> http.HttpFilter:
    return http.HttpFilter(name=config.name, typed_config=config.typed_config)


def check(*, client_certificate: bool = False) -> core.TypedExtensionConfig:
    """A question for each request. The route is looked up again after the answer, which says the cluster.

    `client_certificate`: the check is told the client's certificate, and the chain that it came with.
    """
    return extension(
        EXT_AUTHZ,
        ext_authz.ExtAuthz(
            transport_api_version=V3,
            grpc_service=core.GrpcService(
                timeout=timedelta(seconds=1),
                envoy_grpc=core.GrpcServiceEnvoyGrpc(cluster_name=CHECKS),
                retry_policy=core.RetryPolicy(
                    num_retries=5,
                    retry_on="connect-failure,refused-stream,reset",
                    retry_back_off=core.BackoffStrategy(
                        base_interval=timedelta(milliseconds=100), max_interval=timedelta(milliseconds=400)
                    ),
                ),
            ),
            status_on_error=types.HttpStatus(code=types.StatusCode.ServiceUnavailable),
            allowed_headers=string.ListStringMatcher(
                patterns=exact(CERTIFICATE_HEADER if client_certificate else "x-nothing")
            ),
            include_peer_certificate=client_certificate,
            include_tls_session=True,
            validate_mutations=True,
            clear_route_cache=True,
            decoder_header_mutation_rules=mutation_rules.HeaderMutationRules(
                disallow_all=True, allow_expression=string.RegexMatcher(regex=ALLOWED)
            ),
        ),
    )


def last_words() -> core.TypedExtensionConfig:
    """What is changed in a request that goes on."""
    upgrade = core.HeaderValueOption(
        header=core.HeaderValue(key="connection", value="upgrade"),
        append_action=core.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS,
    )
    mutations = header_mutation.Mutations(
        request_mutations=[mutation_rules.HeaderMutation(append=upgrade)],
        request_trailers_mutations=[*claims_of_a_client(), *removals(CERTIFICATE_HEADER)],
    )
    return extension(HEADER_MUTATION, header_mutation.HeaderMutation(mutations=mutations))


def end() -> core.TypedExtensionConfig:
    return extension("envoy.filters.http.router", router.Router(suppress_envoy_headers=True))


def ended() -> http.HttpFilter:
    """The filter that comes by itself (sidecar.xds.ended). Without it, every request is asked about."""
    mark = set_metadata.Metadata(metadata_namespace="nameplate", value=Struct(fields={ASK: Value(string_value="yes")}))
    kinds = ("composite.v3.Composite", "set_metadata.v3.Config")
    return http.HttpFilter(
        name=FILTER_NAME,
        config_discovery=core.ExtensionConfigSource(
            config_source=ads(timedelta(0)),
            type_urls=[f"envoy.extensions.filters.http.{kind}" for kind in kinds],
            apply_default_config_without_warming=True,
            default_config=pack(set_metadata.Config(metadata=[mark])),
        ),
    )


def ask() -> core.TypedExtensionConfig:
    """The connection lane's question: only without a decision, with the mark, or if Host is not the SNI."""
    forget = header_mutation.HeaderMutation(
        mutations=header_mutation.Mutations(request_mutations=removals(*DECIDED_HEADERS))
    )
    reasons = [
        # A domain's id is a UUID, so it contains a hyphen.
        negation(
            predicate(
                matching("decision", inputs.FilterStateInput(key="nameplate.domain")),
                matcher.StringMatcher(contains="-"),
            )
        ),
        predicate(
            matching(
                "ended",
                inputs.DynamicMetadataInput(filter="nameplate", path=[inputs.DynamicMetadataInputPathSegment(key=ASK)]),
            ),
            custom=matching(
                "yes",
                metadata_matcher.Metadata(value=string.ValueMatcher(string_match=string.StringMatcher(exact="yes"))),
            ),
        ),
        negation(
            predicate(
                matching("attributes", HttpAttributesCelMatchInput()),
                custom=matching("host is the SNI", CelMatcher(expr_match=host_is_the_sni())),
            )
        ),
    ]
    return extension(
        "nameplate.ask",
        composite.Composite(
            named_filter_chains={
                ASK: composite.FilterChainConfiguration(typed_config=[extension(HEADER_MUTATION, forget), check()])
            },
            matcher=matcher.Matcher(
                matcher_list=matcher.MatcherMatcherList(
                    matchers=[
                        matcher.MatcherMatcherListFieldMatcher(
                            predicate=matcher.MatcherMatcherListPredicate(
                                or_matcher=matcher.MatcherMatcherListPredicatePredicateList(predicate=reasons)
                            ),
                            on_match=on_match(ASK, composite.ExecuteFilterAction(filter_chain_name=ASK)),
                        )
                    ]
                )
            ),
        ),
    )


def host_is_the_sni() -> xds_type.CelExpression:
    """request.host == connection.requested_server_name"""

    def attribute(number: int, of: str, name: str) -> cel.Expr:
        operand = cel.Expr(id=number + 1, ident_expr=cel.ExprIdent(name=of))
        return cel.Expr(id=number, select_expr=cel.ExprSelect(operand=operand, field=name))

    both = [attribute(2, "request", "host"), attribute(4, "connection", "requested_server_name")]
    equal = cel.Expr(id=1, call_expr=cel.ExprCall(function="_==_", args=both))
    return xds_type.CelExpression(cel_expr_parsed=cel.ParsedExpr(expr=equal))


def decided_headers() -> core.TypedExtensionConfig:
    """The connection's decision as headers, before the route is looked up."""
    return early(
        [addition(header, f"%FILTER_STATE(nameplate.{key}:PLAIN)%") for header, key in DECIDED_HEADERS.items()]
    )


def early(mutations: list[mutation_rules.HeaderMutation]) -> core.TypedExtensionConfig:
    return extension(
        "envoy.http.early_header_mutation.header_mutation", early_mutation.HeaderMutation(mutations=mutations)
    )


def decision() -> list[listener.Filter]:
    """The connection lane's question, once a connection, and where its answer is kept."""
    question = ConnectionExtAuthz(
        stat_prefix="connection",
        transport_api_version=V3,
        grpc_service=core.GrpcService(
            timeout=timedelta(milliseconds=500), envoy_grpc=core.GrpcServiceEnvoyGrpc(cluster_name=CHECKS)
        ),
        include_tls_session=True,
        shadow_mode=True,
    )
    kept = [
        filter_state.FilterStateValue(
            object_key=f"nameplate.{key}",
            factory_key="envoy.string",
            format_string=core.SubstitutionFormatString(
                text_format_source=core.DataSource(
                    inline_string=f"%DYNAMIC_METADATA(envoy.filters.network.ext_authz:{key})%"
                ),
                omit_empty_values=True,
            ),
            skip_if_empty=True,
        )
        for key in DECISION
    ]
    answer = set_filter_state.Config(on_downstream_data=kept)
    return [
        listener.Filter(name="envoy.filters.network.ext_authz", typed_config=pack(question)),
        listener.Filter(name="envoy.filters.network.set_filter_state", typed_config=pack(answer)),
    ]
