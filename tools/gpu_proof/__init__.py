"""Check and time everything that is claimed of a device, in one run. Not in the wheel."""
