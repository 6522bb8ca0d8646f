"""One suite that every backend is tried with; an adapter's author subclasses :class:`Conformance`."""

from .atomic import Atomic
from .base import GAPS
from .copying import Copying
from .create import Create
from .doubt import Doubt
from .errors import Errors
from .links import Links
from .listing import Listing
from .locations import Locations
from .multipart import Multipart
from .read import Read
from .sessions import Sessions
from .whole import Whole

__all__ = ["GAPS", "Conformance"]


class Conformance(Locations, Create, Atomic, Read, Listing, Copying, Multipart, Sessions, Links, Errors, Doubt, Whole):
    """All cases. A subclass named ``Test...`` gives the fixture ``storage_settings`` and says what its backend lacks.

    See the attributes of :class:`file_keeper_testing.conformance.base.Base`.
    """
