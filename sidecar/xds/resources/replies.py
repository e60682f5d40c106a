"""What Envoy answers by itself when an upstream or the check fails, and what it writes down of each request."""

from __future__ import annotations

from typing import Final

from sidecar.xds.resources.extension import OVERWRITE
from sidecar.xds.resources.messages import Struct, Value, accesslog, core, file_logger, http, pack

UNAVAILABLE: Final = "The service is not available at the moment.\n"
# Of Envoy's response flags: the upstream, its cluster or its certificate failed.
UPSTREAM_FAILED: Final = ("UH", "UF", "UC", "UT", "UO", "UR", "UPE", "URX", "NC", "DF")
CHECK_FAILED: Final = "UAEX"
TOO_LARGE: Final = "The headers of the request are too large.\n"

LOG: Final = {
    "time": "%START_TIME%",
    "port": "%DOWNSTREAM_LOCAL_PORT%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "sni": "%REQUESTED_SERVER_NAME%",
    "host": "%REQ(:AUTHORITY)%",
    "tenant": "%REQ(X-TENANT-ID)%",
    "domain": "%REQ(X-NAMEPLATE-HOST)%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "why": "%RESPONSE_CODE_DETAILS%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "milliseconds": "%DURATION%",
    "upstream_milliseconds": "%RESPONSE_DURATION%",
    "request_id": "%REQ(X-REQUEST-ID)%",
}


def local_replies() -> http.LocalReplyConfig:
    """One text, whatever the cause: Envoy's own words name addresses and reasons inside the platform.

    And one for what Envoy calls an invalid answer of the check: its headers are more than a request may have.
    """
    either = accesslog.OrFilter(filters=[_flags(*UPSTREAM_FAILED), _check_failed(503)])
    return http.LocalReplyConfig(
        mappers=[
            http.ResponseMapper(
                filter=accesslog.AccessLogFilter(or_filter=either),
                headers_to_add=[_header("retry-after", "5"), _header("cache-control", "no-store")],
                body_format_override=_text(UNAVAILABLE),
            ),
            http.ResponseMapper(
                filter=_check_failed(500),
                status_code=431,
                headers_to_add=[_header("cache-control", "no-store")],
                body_format_override=_text(TOO_LARGE),
            ),
        ]
    )


def access_log(path: str) -> list[accesslog.AccessLog]:
    """A JSON object a line. `path`: "" for none."""
    if not path:
        return []
    fields = {name: Value(string_value=what) for name, what in LOG.items()}
    file = file_logger.FileAccessLog(
        path=path, log_format=core.SubstitutionFormatString(json_format=Struct(fields=fields))
    )
    return [accesslog.AccessLog(name="envoy.access_loggers.file", typed_config=pack(file))]


def _check_failed(status: int) -> accesslog.AccessLogFilter:
    comparison = accesslog.ComparisonFilter(
        op=accesslog.ComparisonFilterOp.EQ, value=core.RuntimeUInt32(default_value=status, runtime_key="unused")
    )
    answered = accesslog.AccessLogFilter(status_code_filter=accesslog.StatusCodeFilter(comparison=comparison))
    return accesslog.AccessLogFilter(and_filter=accesslog.AndFilter(filters=[_flags(CHECK_FAILED), answered]))


def _text(body: str) -> core.SubstitutionFormatString:
    return core.SubstitutionFormatString(
        text_format_source=core.DataSource(inline_string=body), content_type="text/plain; charset=utf-8"
    )


def _flags(*flags: str) -> accesslog.AccessLogFilter:
    return accesslog.AccessLogFilter(response_flag_filter=accesslog.ResponseFlagFilter(flags=list(flags)))


def _header(key: str, value: str) -> core.HeaderValueOption:
    return core.HeaderValueOption(header=core.HeaderValue(key=key, value=value), append_action=OVERWRITE)
