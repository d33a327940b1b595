"""What component checks report; shared by the page's tab, the command line and pytest."""

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
    """How far one layer of ours is from the reference, along a clip.

    `axis` is "audio" or "text"; `positions` says what each column is, a time or a token. `errors`
    are largest error over largest value, one a column; "not measured" is an empty tuple.
    """

    layer: str
    axis: str
    positions: tuple[str, ...]
    errors: tuple[float, ...]
    tolerance: float
