from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CheckRequest(_message.Message):
    __slots__ = ("attributes",)
    class HttpRequest(_message.Message):
        __slots__ = ("path", "host", "headers")
        PATH_FIELD_NUMBER: _ClassVar[int]
        HOST_FIELD_NUMBER: _ClassVar[int]
        HEADERS_FIELD_NUMBER: _ClassVar[int]
        path: bytes
        host: str
        headers: _containers.RepeatedScalarFieldContainer[bytes]
        def __init__(self, path: _Optional[bytes] = ..., host: _Optional[str] = ..., headers: _Optional[_Iterable[bytes]] = ...) -> None: ...
    class HeaderEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    class Request(_message.Message):
        __slots__ = ("http",)
        HTTP_FIELD_NUMBER: _ClassVar[int]
        http: CheckRequest.HttpRequest
        def __init__(self, http: _Optional[_Union[CheckRequest.HttpRequest, _Mapping]] = ...) -> None: ...
    class TlsSession(_message.Message):
        __slots__ = ("sni",)
        SNI_FIELD_NUMBER: _ClassVar[int]
        sni: str
        def __init__(self, sni: _Optional[str] = ...) -> None: ...
    class Peer(_message.Message):
        __slots__ = ("certificate",)
        CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
        certificate: bytes
        def __init__(self, certificate: _Optional[bytes] = ...) -> None: ...
    class Attributes(_message.Message):
        __slots__ = ("source", "request", "context_extensions", "tls_session")
        class ContextExtensionsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: str
            def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
        SOURCE_FIELD_NUMBER: _ClassVar[int]
        REQUEST_FIELD_NUMBER: _ClassVar[int]
        CONTEXT_EXTENSIONS_FIELD_NUMBER: _ClassVar[int]
        TLS_SESSION_FIELD_NUMBER: _ClassVar[int]
        source: CheckRequest.Peer
        request: CheckRequest.Request
        context_extensions: _containers.ScalarMap[str, str]
        tls_session: CheckRequest.TlsSession
        def __init__(self, source: _Optional[_Union[CheckRequest.Peer, _Mapping]] = ..., request: _Optional[_Union[CheckRequest.Request, _Mapping]] = ..., context_extensions: _Optional[_Mapping[str, str]] = ..., tls_session: _Optional[_Union[CheckRequest.TlsSession, _Mapping]] = ...) -> None: ...
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    attributes: CheckRequest.Attributes
    def __init__(self, attributes: _Optional[_Union[CheckRequest.Attributes, _Mapping]] = ...) -> None: ...

class CheckResponse(_message.Message):
    __slots__ = ("status", "denied_response", "ok_response", "dynamic_metadata")
    class Status(_message.Message):
        __slots__ = ("code",)
        CODE_FIELD_NUMBER: _ClassVar[int]
        code: int
        def __init__(self, code: _Optional[int] = ...) -> None: ...
    class HeaderValue(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class HeaderValueOption(_message.Message):
        __slots__ = ("header", "append_action")
        class AppendAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            APPEND_IF_EXISTS_OR_ADD: _ClassVar[CheckResponse.HeaderValueOption.AppendAction]
            ADD_IF_ABSENT: _ClassVar[CheckResponse.HeaderValueOption.AppendAction]
            OVERWRITE_IF_EXISTS_OR_ADD: _ClassVar[CheckResponse.HeaderValueOption.AppendAction]
        APPEND_IF_EXISTS_OR_ADD: CheckResponse.HeaderValueOption.AppendAction
        ADD_IF_ABSENT: CheckResponse.HeaderValueOption.AppendAction
        OVERWRITE_IF_EXISTS_OR_ADD: CheckResponse.HeaderValueOption.AppendAction
        HEADER_FIELD_NUMBER: _ClassVar[int]
        APPEND_ACTION_FIELD_NUMBER: _ClassVar[int]
        header: CheckResponse.HeaderValue
        append_action: CheckResponse.HeaderValueOption.AppendAction
        def __init__(self, header: _Optional[_Union[CheckResponse.HeaderValue, _Mapping]] = ..., append_action: _Optional[_Union[CheckResponse.HeaderValueOption.AppendAction, str]] = ...) -> None: ...
    class HttpStatus(_message.Message):
        __slots__ = ("code",)
        CODE_FIELD_NUMBER: _ClassVar[int]
        code: int
        def __init__(self, code: _Optional[int] = ...) -> None: ...
    class DeniedHttpResponse(_message.Message):
        __slots__ = ("status", "headers", "body")
        STATUS_FIELD_NUMBER: _ClassVar[int]
        HEADERS_FIELD_NUMBER: _ClassVar[int]
        BODY_FIELD_NUMBER: _ClassVar[int]
        status: CheckResponse.HttpStatus
        headers: _containers.RepeatedCompositeFieldContainer[CheckResponse.HeaderValueOption]
        body: str
        def __init__(self, status: _Optional[_Union[CheckResponse.HttpStatus, _Mapping]] = ..., headers: _Optional[_Iterable[_Union[CheckResponse.HeaderValueOption, _Mapping]]] = ..., body: _Optional[str] = ...) -> None: ...
    class OkHttpResponse(_message.Message):
        __slots__ = ("headers",)
        HEADERS_FIELD_NUMBER: _ClassVar[int]
        headers: _containers.RepeatedCompositeFieldContainer[CheckResponse.HeaderValueOption]
        def __init__(self, headers: _Optional[_Iterable[_Union[CheckResponse.HeaderValueOption, _Mapping]]] = ...) -> None: ...
    class Value(_message.Message):
        __slots__ = ("string_value",)
        STRING_VALUE_FIELD_NUMBER: _ClassVar[int]
        string_value: str
        def __init__(self, string_value: _Optional[str] = ...) -> None: ...
    class Struct(_message.Message):
        __slots__ = ("fields",)
        class FieldsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: CheckResponse.Value
            def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[CheckResponse.Value, _Mapping]] = ...) -> None: ...
        FIELDS_FIELD_NUMBER: _ClassVar[int]
        fields: _containers.MessageMap[str, CheckResponse.Value]
        def __init__(self, fields: _Optional[_Mapping[str, CheckResponse.Value]] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DENIED_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    OK_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    DYNAMIC_METADATA_FIELD_NUMBER: _ClassVar[int]
    status: CheckResponse.Status
    denied_response: CheckResponse.DeniedHttpResponse
    ok_response: CheckResponse.OkHttpResponse
    dynamic_metadata: CheckResponse.Struct
    def __init__(self, status: _Optional[_Union[CheckResponse.Status, _Mapping]] = ..., denied_response: _Optional[_Union[CheckResponse.DeniedHttpResponse, _Mapping]] = ..., ok_response: _Optional[_Union[CheckResponse.OkHttpResponse, _Mapping]] = ..., dynamic_metadata: _Optional[_Union[CheckResponse.Struct, _Mapping]] = ...) -> None: ...
