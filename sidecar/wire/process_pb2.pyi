from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProcessingRequest(_message.Message):
    __slots__ = ("request_headers", "attributes")
    class HeaderValue(_message.Message):
        __slots__ = ("key", "value", "raw_value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        RAW_VALUE_FIELD_NUMBER: _ClassVar[int]
        key: bytes
        value: bytes
        raw_value: bytes
        def __init__(self, key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., raw_value: _Optional[bytes] = ...) -> None: ...
    class HeaderMap(_message.Message):
        __slots__ = ("headers",)
        HEADERS_FIELD_NUMBER: _ClassVar[int]
        headers: _containers.RepeatedCompositeFieldContainer[ProcessingRequest.HeaderValue]
        def __init__(self, headers: _Optional[_Iterable[_Union[ProcessingRequest.HeaderValue, _Mapping]]] = ...) -> None: ...
    class HttpHeaders(_message.Message):
        __slots__ = ("headers",)
        HEADERS_FIELD_NUMBER: _ClassVar[int]
        headers: ProcessingRequest.HeaderMap
        def __init__(self, headers: _Optional[_Union[ProcessingRequest.HeaderMap, _Mapping]] = ...) -> None: ...
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
            value: ProcessingRequest.Value
            def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ProcessingRequest.Value, _Mapping]] = ...) -> None: ...
        FIELDS_FIELD_NUMBER: _ClassVar[int]
        fields: _containers.MessageMap[str, ProcessingRequest.Value]
        def __init__(self, fields: _Optional[_Mapping[str, ProcessingRequest.Value]] = ...) -> None: ...
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ProcessingRequest.Struct
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ProcessingRequest.Struct, _Mapping]] = ...) -> None: ...
    REQUEST_HEADERS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    request_headers: ProcessingRequest.HttpHeaders
    attributes: _containers.MessageMap[str, ProcessingRequest.Struct]
    def __init__(self, request_headers: _Optional[_Union[ProcessingRequest.HttpHeaders, _Mapping]] = ..., attributes: _Optional[_Mapping[str, ProcessingRequest.Struct]] = ...) -> None: ...

class ProcessingResponse(_message.Message):
    __slots__ = ("request_headers", "immediate_response")
    class HeaderValue(_message.Message):
        __slots__ = ("key", "raw_value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        RAW_VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        raw_value: bytes
        def __init__(self, key: _Optional[str] = ..., raw_value: _Optional[bytes] = ...) -> None: ...
    class HeaderValueOption(_message.Message):
        __slots__ = ("header", "append_action")
        class AppendAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            APPEND_IF_EXISTS_OR_ADD: _ClassVar[ProcessingResponse.HeaderValueOption.AppendAction]
            ADD_IF_ABSENT: _ClassVar[ProcessingResponse.HeaderValueOption.AppendAction]
            OVERWRITE_IF_EXISTS_OR_ADD: _ClassVar[ProcessingResponse.HeaderValueOption.AppendAction]
        APPEND_IF_EXISTS_OR_ADD: ProcessingResponse.HeaderValueOption.AppendAction
        ADD_IF_ABSENT: ProcessingResponse.HeaderValueOption.AppendAction
        OVERWRITE_IF_EXISTS_OR_ADD: ProcessingResponse.HeaderValueOption.AppendAction
        HEADER_FIELD_NUMBER: _ClassVar[int]
        APPEND_ACTION_FIELD_NUMBER: _ClassVar[int]
        header: ProcessingResponse.HeaderValue
        append_action: ProcessingResponse.HeaderValueOption.AppendAction
        def __init__(self, header: _Optional[_Union[ProcessingResponse.HeaderValue, _Mapping]] = ..., append_action: _Optional[_Union[ProcessingResponse.HeaderValueOption.AppendAction, str]] = ...) -> None: ...
    class HeaderMutation(_message.Message):
        __slots__ = ("set_headers",)
        SET_HEADERS_FIELD_NUMBER: _ClassVar[int]
        set_headers: _containers.RepeatedCompositeFieldContainer[ProcessingResponse.HeaderValueOption]
        def __init__(self, set_headers: _Optional[_Iterable[_Union[ProcessingResponse.HeaderValueOption, _Mapping]]] = ...) -> None: ...
    class CommonResponse(_message.Message):
        __slots__ = ("header_mutation",)
        HEADER_MUTATION_FIELD_NUMBER: _ClassVar[int]
        header_mutation: ProcessingResponse.HeaderMutation
        def __init__(self, header_mutation: _Optional[_Union[ProcessingResponse.HeaderMutation, _Mapping]] = ...) -> None: ...
    class HeadersResponse(_message.Message):
        __slots__ = ("response",)
        RESPONSE_FIELD_NUMBER: _ClassVar[int]
        response: ProcessingResponse.CommonResponse
        def __init__(self, response: _Optional[_Union[ProcessingResponse.CommonResponse, _Mapping]] = ...) -> None: ...
    class HttpStatus(_message.Message):
        __slots__ = ("code",)
        CODE_FIELD_NUMBER: _ClassVar[int]
        code: int
        def __init__(self, code: _Optional[int] = ...) -> None: ...
    class ImmediateResponse(_message.Message):
        __slots__ = ("status", "headers", "body")
        STATUS_FIELD_NUMBER: _ClassVar[int]
        HEADERS_FIELD_NUMBER: _ClassVar[int]
        BODY_FIELD_NUMBER: _ClassVar[int]
        status: ProcessingResponse.HttpStatus
        headers: ProcessingResponse.HeaderMutation
        body: bytes
        def __init__(self, status: _Optional[_Union[ProcessingResponse.HttpStatus, _Mapping]] = ..., headers: _Optional[_Union[ProcessingResponse.HeaderMutation, _Mapping]] = ..., body: _Optional[bytes] = ...) -> None: ...
    REQUEST_HEADERS_FIELD_NUMBER: _ClassVar[int]
    IMMEDIATE_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    request_headers: ProcessingResponse.HeadersResponse
    immediate_response: ProcessingResponse.ImmediateResponse
    def __init__(self, request_headers: _Optional[_Union[ProcessingResponse.HeadersResponse, _Mapping]] = ..., immediate_response: _Optional[_Union[ProcessingResponse.ImmediateResponse, _Mapping]] = ...) -> None: ...
