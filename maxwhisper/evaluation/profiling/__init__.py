"""Where the time goes, and how close that is to what the device can do."""
