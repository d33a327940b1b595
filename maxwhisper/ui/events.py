"""How the page's own events differ from gradio's usual ones. A constant, shared by the tabs."""

from typing import Any

# No veil over what is drawn anew, and no address that a program could call.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
