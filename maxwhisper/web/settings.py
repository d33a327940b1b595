"""Everything that an operator sets by the environment; a page says it when it starts.

In: the environment. Out: `Settings`, checked. A misspelt name would leave a page without the limit
that its operator believes in, so a name that nobody reads is an error. Secrets are never printed.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from maxwhisper.errors import OptionError
from maxwhisper.web.api.settings import KEYS, METRICS, ApiSettings
from maxwhisper.web.server.fair_use import PREFIX as LIMIT
from maxwhisper.web.server.fair_use import Limits
from maxwhisper.web.server.origins import HOSTS

PREFIX = "MAXWHISPER_"
MODEL = f"{PREFIX}MODEL"
# docs/limits.md says what each of them is.
VARIABLES = (
    *(HOSTS, MODEL, KEYS, METRICS),
    *(f"{LIMIT}{field.name.upper()}" for field in fields(Limits)),
    *(f"{PREFIX}{name}" for name in ("CACHE", "ARTIFACTS", "OFFLINE", "NO_CAPTURE")),
)


@dataclass(frozen=True)
class Settings:
    """The settings of a page or an API; `given` are the variables that were set."""

    limits: Limits
    api: ApiSettings
    given: Mapping[str, str]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Raises `OptionError` for a value that is not allowed, and a name that is not known."""
        given = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
        for name in sorted(given.keys() - set(VARIABLES)):
            like = difflib.get_close_matches(name, VARIABLES, n=1, cutoff=0.8)
            hint = f"did you mean {like[0]}?" if like else f"known are {', '.join(VARIABLES)}"
            raise OptionError(f"nothing reads the environment variable {name}: {hint}")
        limits, api = (
            Limits.from_environment(environment),
            ApiSettings.from_environment(environment),
        )
        return cls(limits, api, given)

    def lines(self) -> Iterator[str]:
        """Yield a line for each setting in force, without secrets."""
        for field in fields(self.limits):
            value = getattr(self.limits, field.name)
            yield f"{LIMIT}{field.name.upper()}={value:g}{' (no limit)' if not value else ''}"
        n_keys = len(self.api.keys)
        yield f"{KEYS}: {n_keys} {'key' if n_keys == 1 else 'keys'}"
        yield f"{METRICS}={self.api.metrics}"
        said = (KEYS, METRICS)
        for name in VARIABLES:
            if name not in said and not name.startswith(LIMIT) and self.given.get(name):
                yield f"{name}={self.given[name]}"
