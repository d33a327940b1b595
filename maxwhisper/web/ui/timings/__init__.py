"""The timings tab: where each engine spends its time, and recorded benchmarks."""
