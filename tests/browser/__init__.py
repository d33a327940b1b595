"""Browser tests. A package, so that its browser ends with it: playwright runs an event loop in the
thread of the tests, in which no other test could start one of its own."""
