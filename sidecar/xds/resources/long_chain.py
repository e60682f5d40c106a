"""The filter that refuses a client whose chain is too long, before anybody is asked about its requests.

Envoy sends the chain along with every question, and a client may show 100 KB of it: what is asked is refused by the
check too (sidecar.authz.client), but to receive it takes ten times as long as an honest question.
"""

from __future__ import annotations

from typing import Final

from sidecar.authz.client import MAX_SHOWN
from sidecar.authz.refusal import CLIENT_HEADERS_TOO_LARGE
from sidecar.xds.resources.extension import OVERWRITE, extension, matching, on_match, predicate
from sidecar.xds.resources.filters import CERTIFICATE_HEADER
from sidecar.xds.resources.messages import (
    CelMatcher,
    HttpAttributesCelMatchInput,
    accesslog,
    cel,
    composite,
    core,
    fault,
    http,
    matcher,
    types,
    xds_type,
)

NAME: Final = "nameplate.long_chain"
REFUSE: Final = "refuse"
# Envoy's response flag of what this filter answers; no other filter here does that.
FLAG: Final = "FI"


def long_chain() -> core.TypedExtensionConfig:
    """Requests without the header, or with one that is short enough, go on."""
    always = types.FractionalPercent(numerator=100)
    refuse = fault.HttpFault(abort=fault.FaultAbort(http_status=CLIENT_HEADERS_TOO_LARGE.status, percentage=always))
    is_long = predicate(
        matching("attributes", HttpAttributesCelMatchInput()),
        custom=matching("the chain is long", CelMatcher(expr_match=chain_is_long())),
    )
    return extension(
        NAME,
        composite.Composite(
            named_filter_chains={
                REFUSE: composite.FilterChainConfiguration(typed_config=[extension("envoy.filters.http.fault", refuse)])
            },
            matcher=matcher.Matcher(
                matcher_list=matcher.MatcherMatcherList(
                    matchers=[
                        matcher.MatcherMatcherListFieldMatcher(
                            predicate=is_long,
                            on_match=on_match(REFUSE, composite.ExecuteFilterAction(filter_chain_name=REFUSE)),
                        )
                    ]
                )
            ),
        ),
    )


def chain_is_long() -> xds_type.CelExpression:
    """size(request.headers["x-forwarded-client-cert"]) > MAX_SHOWN; of one that is not there, nothing is true."""
    request = cel.Expr(id=5, ident_expr=cel.ExprIdent(name="request"))
    headers = cel.Expr(id=4, select_expr=cel.ExprSelect(operand=request, field="headers"))
    key = cel.Expr(id=6, const_expr=cel.Constant(string_value=CERTIFICATE_HEADER))
    header = cel.Expr(id=3, call_expr=cel.ExprCall(function="_[_]", args=[headers, key]))
    size = cel.Expr(id=2, call_expr=cel.ExprCall(function="size", args=[header]))
    most = cel.Expr(id=7, const_expr=cel.Constant(int64_value=MAX_SHOWN))
    longer = cel.Expr(id=1, call_expr=cel.ExprCall(function="_>_", args=[size, most]))
    return xds_type.CelExpression(cel_expr_parsed=cel.ParsedExpr(expr=longer))


def reply() -> http.ResponseMapper:
    """What the check says, for what this filter answers."""
    flag = accesslog.AccessLogFilter(response_flag_filter=accesslog.ResponseFlagFilter(flags=[FLAG]))
    never_kept = core.HeaderValueOption(
        header=core.HeaderValue(key="cache-control", value="no-store"), append_action=OVERWRITE
    )
    text = core.DataSource(inline_string=CLIENT_HEADERS_TOO_LARGE.body)
    return http.ResponseMapper(
        filter=flag,
        headers_to_add=[never_kept],
        body_format_override=core.SubstitutionFormatString(
            text_format_source=text, content_type="text/plain; charset=utf-8"
        ),
    )
