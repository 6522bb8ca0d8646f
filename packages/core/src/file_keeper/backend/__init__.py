"""The contract of a backend, for authors of adapters: :class:`Backend`, its records, and :class:`Wrapper`."""

from .. import installation as _installation  # the package's own __init__ may be another's

# isort: split
from ..contenttype import agrees
from ..serving import SANDBOX, content_disposition, is_inline
from ..settings import Settings, option
from ..workers import Workers
from .addresses import is_loopback, require_secure
from .answers import (
    Answer,
    check_answer,
    looking,
    mark_sends,
    mark_unsent,
    refuse_redirect,
    sends_of,
    stranger,
    was_look,
    was_unsent,
)
from .common_options import CustomerKey, check_common_options, customer_key
from .contract import (
    OPTIONAL,
    REQUIRED,
    VERBS,
    Backend,
    Body,
    Capability,
    Limits,
    MultipartRef,
    NotSupportedForObject,
    ObjectInfo,
    OpenUpload,
    Page,
    Part,
    PartsDiscardedError,
    Prefix,
    Row,
    SignAction,
    SignedRequest,
    SignOptions,
    Source,
    WriteOptions,
    capabilities,
)
from .http_errors import Meaning, is_transient, meaning_of, redact, retry_after
from .links import Link, LinkSigner, check_base_url
from .paging import Items, Pages, advancing, cut_pages, entries_of, follow_pages, outlives_errors, place_in
from .wrapper import ErrorBoundary, Wrapper

del _installation

__all__ = [
    "OPTIONAL",
    "REQUIRED",
    "SANDBOX",
    "VERBS",
    "Answer",
    "Backend",
    "Body",
    "Capability",
    "CustomerKey",
    "ErrorBoundary",
    "Items",
    "Limits",
    "Link",
    "LinkSigner",
    "Meaning",
    "MultipartRef",
    "NotSupportedForObject",
    "ObjectInfo",
    "OpenUpload",
    "Page",
    "Pages",
    "Part",
    "PartsDiscardedError",
    "Prefix",
    "Row",
    "Settings",
    "SignAction",
    "SignOptions",
    "SignedRequest",
    "Source",
    "Workers",
    "Wrapper",
    "WriteOptions",
    "advancing",
    "agrees",
    "capabilities",
    "check_answer",
    "check_base_url",
    "check_common_options",
    "content_disposition",
    "customer_key",
    "cut_pages",
    "entries_of",
    "follow_pages",
    "is_inline",
    "is_loopback",
    "is_transient",
    "looking",
    "mark_sends",
    "mark_unsent",
    "meaning_of",
    "option",
    "outlives_errors",
    "place_in",
    "redact",
    "refuse_redirect",
    "require_secure",
    "retry_after",
    "sends_of",
    "stranger",
    "was_look",
    "was_unsent",
]
