from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Filter(_message.Message):
    __slots__ = ()
    class Any(_message.Message):
        __slots__ = ("type_url", "value")
        TYPE_URL_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        type_url: str
        value: bytes
        def __init__(self, type_url: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    class TypedExtensionConfig(_message.Message):
        __slots__ = ("name", "typed_config")
        NAME_FIELD_NUMBER: _ClassVar[int]
        TYPED_CONFIG_FIELD_NUMBER: _ClassVar[int]
        name: str
        typed_config: Filter.Any
        def __init__(self, name: _Optional[str] = ..., typed_config: _Optional[_Union[Filter.Any, _Mapping]] = ...) -> None: ...
    class Duration(_message.Message):
        __slots__ = ("seconds",)
        SECONDS_FIELD_NUMBER: _ClassVar[int]
        seconds: int
        def __init__(self, seconds: _Optional[int] = ...) -> None: ...
    class LeasedResource(_message.Message):
        __slots__ = ("version", "resource", "name", "ttl")
        VERSION_FIELD_NUMBER: _ClassVar[int]
        RESOURCE_FIELD_NUMBER: _ClassVar[int]
        NAME_FIELD_NUMBER: _ClassVar[int]
        TTL_FIELD_NUMBER: _ClassVar[int]
        version: str
        resource: bytes
        name: str
        ttl: Filter.Duration
        def __init__(self, version: _Optional[str] = ..., resource: _Optional[bytes] = ..., name: _Optional[str] = ..., ttl: _Optional[_Union[Filter.Duration, _Mapping]] = ...) -> None: ...
    class Response(_message.Message):
        __slots__ = ("resources", "type_url", "nonce", "removed_resources")
        RESOURCES_FIELD_NUMBER: _ClassVar[int]
        TYPE_URL_FIELD_NUMBER: _ClassVar[int]
        NONCE_FIELD_NUMBER: _ClassVar[int]
        REMOVED_RESOURCES_FIELD_NUMBER: _ClassVar[int]
        resources: _containers.RepeatedCompositeFieldContainer[Filter.LeasedResource]
        type_url: str
        nonce: str
        removed_resources: _containers.RepeatedScalarFieldContainer[str]
        def __init__(self, resources: _Optional[_Iterable[_Union[Filter.LeasedResource, _Mapping]]] = ..., type_url: _Optional[str] = ..., nonce: _Optional[str] = ..., removed_resources: _Optional[_Iterable[str]] = ...) -> None: ...
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
            value: Filter.Value
            def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Filter.Value, _Mapping]] = ...) -> None: ...
        FIELDS_FIELD_NUMBER: _ClassVar[int]
        fields: _containers.MessageMap[str, Filter.Value]
        def __init__(self, fields: _Optional[_Mapping[str, Filter.Value]] = ...) -> None: ...
    class Metadata(_message.Message):
        __slots__ = ("metadata_namespace", "value")
        METADATA_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        metadata_namespace: str
        value: Filter.Struct
        def __init__(self, metadata_namespace: _Optional[str] = ..., value: _Optional[_Union[Filter.Struct, _Mapping]] = ...) -> None: ...
    class SetMetadata(_message.Message):
        __slots__ = ("metadata",)
        METADATA_FIELD_NUMBER: _ClassVar[int]
        metadata: _containers.RepeatedCompositeFieldContainer[Filter.Metadata]
        def __init__(self, metadata: _Optional[_Iterable[_Union[Filter.Metadata, _Mapping]]] = ...) -> None: ...
    class FilterStateInput(_message.Message):
        __slots__ = ("key",)
        KEY_FIELD_NUMBER: _ClassVar[int]
        key: str
        def __init__(self, key: _Optional[str] = ...) -> None: ...
    class OnMatch(_message.Message):
        __slots__ = ("action",)
        ACTION_FIELD_NUMBER: _ClassVar[int]
        action: Filter.TypedExtensionConfig
        def __init__(self, action: _Optional[_Union[Filter.TypedExtensionConfig, _Mapping]] = ...) -> None: ...
    class MatchMap(_message.Message):
        __slots__ = ("map",)
        class Entry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: bytes
            def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
        MAP_FIELD_NUMBER: _ClassVar[int]
        map: _containers.RepeatedCompositeFieldContainer[Filter.MatchMap.Entry]
        def __init__(self, map: _Optional[_Iterable[_Union[Filter.MatchMap.Entry, _Mapping]]] = ...) -> None: ...
    class MatcherTree(_message.Message):
        __slots__ = ("input", "exact_match_map")
        INPUT_FIELD_NUMBER: _ClassVar[int]
        EXACT_MATCH_MAP_FIELD_NUMBER: _ClassVar[int]
        input: Filter.TypedExtensionConfig
        exact_match_map: bytes
        def __init__(self, input: _Optional[_Union[Filter.TypedExtensionConfig, _Mapping]] = ..., exact_match_map: _Optional[bytes] = ...) -> None: ...
    class Matcher(_message.Message):
        __slots__ = ("matcher_tree",)
        MATCHER_TREE_FIELD_NUMBER: _ClassVar[int]
        matcher_tree: Filter.MatcherTree
        def __init__(self, matcher_tree: _Optional[_Union[Filter.MatcherTree, _Mapping]] = ...) -> None: ...
    class FilterChain(_message.Message):
        __slots__ = ("typed_config",)
        TYPED_CONFIG_FIELD_NUMBER: _ClassVar[int]
        typed_config: _containers.RepeatedCompositeFieldContainer[Filter.TypedExtensionConfig]
        def __init__(self, typed_config: _Optional[_Iterable[_Union[Filter.TypedExtensionConfig, _Mapping]]] = ...) -> None: ...
    class ExecuteFilterAction(_message.Message):
        __slots__ = ("filter_chain_name",)
        FILTER_CHAIN_NAME_FIELD_NUMBER: _ClassVar[int]
        filter_chain_name: str
        def __init__(self, filter_chain_name: _Optional[str] = ...) -> None: ...
    class Composite(_message.Message):
        __slots__ = ("named_filter_chains", "matcher")
        class NamedFilterChainsEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: Filter.FilterChain
            def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Filter.FilterChain, _Mapping]] = ...) -> None: ...
        NAMED_FILTER_CHAINS_FIELD_NUMBER: _ClassVar[int]
        MATCHER_FIELD_NUMBER: _ClassVar[int]
        named_filter_chains: _containers.MessageMap[str, Filter.FilterChain]
        matcher: Filter.Matcher
        def __init__(self, named_filter_chains: _Optional[_Mapping[str, Filter.FilterChain]] = ..., matcher: _Optional[_Union[Filter.Matcher, _Mapping]] = ...) -> None: ...
    def __init__(self) -> None: ...
