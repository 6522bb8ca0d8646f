"""What the settings say of faults: how often a request is repeated, when calls fail at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

from .. import exc
from ..units import parse_duration


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """How often and how long one request is repeated.

    :param attempts: at most, the first one counted
    :param timeout: seconds for one request with all its repeats
    :param base: seconds of the first pause at most; each next one doubles
    :param longest: seconds of any pause at most
    """

    attempts: int = 4
    timeout: float = 120.0
    base: float = 0.2
    longest: float = 20.0


@dataclasses.dataclass(frozen=True, slots=True)
class Breaker:
    """When a storage stops asking a service that does not answer.

    :param failures: calls in a row that ended without an answer
    :param reset: seconds until one call is let through again
    """

    failures: int = 5
    reset: float = 60.0


def parse_retry(value: Any) -> Policy | None:
    """Return the policy that the option ``retry`` names; ``None`` where it is not given.

    :param value: a number of attempts, ``False`` for one, or a mapping with the fields of :class:`Policy`
    :raises InvalidStorageConfigurationError: it makes no sense
    """
    if value is None or isinstance(value, Policy):
        return value
    if isinstance(value, bool):
        return Policy() if value else Policy(attempts=1)
    if isinstance(value, int):
        value = {"attempts": value}
    given = _fields("retry", value, Policy, "a number of attempts, false, or a mapping such as {'attempts': 4}")
    policy = Policy(**given)
    if policy.attempts < 1:
        raise _wrong("retry", "'attempts' must be at least 1: the first one counts (false is one attempt)")
    if policy.timeout <= 0:
        raise _wrong("retry", "'timeout' must be more than 0")
    return policy


def parse_breaker(value: Any) -> Breaker | None:
    """Return what the option ``circuit_breaker`` names; ``None`` for none.

    :param value: ``True``, ``False``, or a mapping with the fields of :class:`Breaker`
    :raises InvalidStorageConfigurationError: it makes no sense
    """
    if value is None or isinstance(value, Breaker):
        return value
    if isinstance(value, bool):
        return Breaker() if value else None
    given = _fields("circuit_breaker", value, Breaker, "true, false, or a mapping such as {'failures': 5}")
    breaker = Breaker(**given)
    if breaker.failures < 1:
        raise _wrong("circuit_breaker", "'failures' must be at least 1")
    if breaker.reset <= 0:
        raise _wrong("circuit_breaker", "'reset' must be more than 0")
    return breaker


def parse_deadline(value: Any) -> float | None:
    """Return the seconds that the option ``deadline`` names; ``None`` for none.

    :raises InvalidStorageConfigurationError: it makes no sense
    """
    if value is None or value is False:
        return None
    seconds = _duration("deadline", "deadline", value)
    if seconds <= 0:
        raise _wrong("deadline", "it must be more than 0: seconds for one whole call, such as 30 or '30s'")
    return seconds


def _fields(option: str, value: Any, kind: type[Policy] | type[Breaker], wanted: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(option, f"it must be {wanted}, not {value!r}")
    known = {field.name: field.default for field in dataclasses.fields(kind)}
    found: dict[str, Any] = {}
    for name, given in cast("Mapping[Any, Any]", value).items():
        if name not in known:
            raise _wrong(option, f"it has no {name!r}: it knows {', '.join(known)}")
        if isinstance(known[name], int):
            if isinstance(given, bool) or not isinstance(given, int):
                raise _wrong(option, f"{name!r} must be a whole number, not {given!r}")
            found[name] = given
        else:
            found[name] = _duration(option, name, given)
    return found


def _duration(option: str, name: str, value: Any) -> float:
    try:
        return parse_duration(value)
    except (ValueError, TypeError):
        raise _wrong(option, f"{name!r} must be a duration such as 30 or '30s', not {value!r}") from None


def _wrong(option: str, why: str) -> exc.InvalidStorageConfigurationError:
    return exc.InvalidStorageConfigurationError(f"option {option!r}: {why}")
