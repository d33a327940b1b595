"""All that is claimed of a device, checked and timed in one go. Not in the wheel."""
