"""The results of component checks, for the page, the command line and pytest."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class CheckResult:
    """`error` and `tolerance` share the unit that `detail` names; both are None where a check is
    yes-or-no. `status` is "passed", "failed" (ran, out of tolerance) or "error" (did not run)."""

    name: str
    group: str
    status: str
    error: float | None
    tolerance: float | None
    ms: float
    device: str
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class LayerErrors:
    """The error of one of our layers against the reference, along a clip.

    `axis` is "audio" or "text"; `positions` names each column, a time or a token. `errors` has the
    largest error over the largest value for each column; it is empty if nothing was measured.
    """

    layer: str
    axis: str
    positions: tuple[str, ...]
    errors: tuple[float, ...]
    tolerance: float
