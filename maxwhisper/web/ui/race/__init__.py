"""The Race tab: run three engines on one recording and compare them."""
