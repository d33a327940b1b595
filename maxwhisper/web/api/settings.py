"""What an operator sets for the API: keys, and who may read the metrics.

In: the environment. Out: `ApiSettings`. Keys are compared in constant time and never printed.
"""

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from maxwhisper.errors import OptionError, quoted
from maxwhisper.web.api.errors import ApiError
from maxwhisper.web.server.visitor import LOCALHOST

KEYS = "MAXWHISPER_API_KEYS"  # separated by commas; without any, the API needs no key
METRICS = "MAXWHISPER_METRICS"  # who may read /metrics
_READERS = ("local", "everyone")


@dataclass(frozen=True)
class ApiSettings:
    keys: tuple[str, ...] = field(default=(), repr=False)
    metrics: str = _READERS[0]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "ApiSettings":
        """Raises `OptionError` for a value that is not allowed."""
        given = environment.get(KEYS, "").split(",")
        keys = tuple(key.strip() for key in given if key.strip())
        if environment.get(KEYS) and not keys:
            raise OptionError(f"expected {KEYS} as keys with commas between them, got none")
        metrics = environment.get(METRICS) or _READERS[0]
        if metrics not in _READERS:
            allowed = " or ".join(_READERS)
            raise OptionError(f"expected {METRICS} as {allowed}, got {quoted(metrics)}")
        return cls(keys, metrics)

    def check_key(self, authorization: str) -> None:
        """Raise `ApiError` 401 unless the header has one of the keys, or there are none. All keys
        are compared, whichever fits."""
        if not self.keys:
            return
        scheme, _, given = authorization.partition(" ")
        sent = given.strip().encode()
        fits = [hmac.compare_digest(key.encode(), sent) for key in self.keys]
        if scheme.lower() != "bearer" or not any(fits):
            raise ApiError(
                401,
                "This server needs a key: send the header “Authorization: Bearer KEY”. "
                "Its operator has the keys.",
                code="invalid_api_key",
            )

    def may_read_metrics(self, visitor: str) -> bool:
        return self.metrics == "everyone" or visitor == LOCALHOST
