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
_LIMITS = {
    "waiting": "races and checks of a visitor in the queue, besides the running one",
    "minutes": "minutes of races for a visitor in an hour",
    "check_minutes": "minutes of component checks for a visitor in an hour",
    "uploads": "recordings of a visitor in an hour",
    "kept": "races of a visitor that are saved under a link at one time",
    "pages": "pages that a visitor opens in an hour",
    "clicks": "requests of a visitor in a minute that change something",
}
VARIABLES: Mapping[str, str] = {
    HOSTS: "more names by which browsers reach the page, with commas between them",
    MODEL: "the model that the page gets by itself",
    KEYS: "keys of the API, with commas between them; without any it needs none",
    METRICS: "who may read /metrics: local or everyone",
    **{f"{LIMIT}{name.upper()}": f"{about}; 0 for no limit" for name, about in _LIMITS.items()},
    f"{PREFIX}CACHE": "folder of downloads, compiled graphs and saved races",
    f"{PREFIX}ARTIFACTS": "folder of packed graphs, searched first",
    f"{PREFIX}OFFLINE": "1 forbids every download",
    f"{PREFIX}NO_CAPTURE": "1 executes every decoder step on a GPU, instead of replaying it",
}


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
        for name in sorted(given.keys() - VARIABLES.keys()):
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
