"""One suite that every backend is tried with; an adapter's author subclasses :class:`Conformance`."""

from .atomic import Atomic
from .base import GAPS
from .copying import Copying
from .create import Create
from .errors import Errors
from .links import Links
from .listing import Listing
from .locations import Locations
from .multipart import Multipart
from .read import Read
from .whole import Whole

__all__ = ["GAPS", "Conformance"]


class Conformance(Locations, Create, Atomic, Read, Listing, Copying, Multipart, Links, Errors, Whole):
    """All cases. A subclass named ``Test...`` gives the fixture ``storage_settings`` and says what its backend lacks.

    See the attributes of :class:`file_keeper_testing.conformance.base.Base`.
    """
