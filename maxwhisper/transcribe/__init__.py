"""A recording of any length, window by window or live; no logit is seen here."""
