"""Settings of the page's own events, shared by the tabs."""

from typing import Any

# No overlay while an event runs, and no public API address.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
