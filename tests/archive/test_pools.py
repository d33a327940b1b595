"""What each stage asks of a cluster: GPUs that are yet to come, processors, and one precision."""

import pytest

from maxwhisper.archive.pools import Node, Wish, choose_pools
from maxwhisper.errors import OptionError

HEAD = Node(16)
GPU = Node(16, 1)


@pytest.mark.parametrize(
    ("nodes", "wish", "device", "dtype", "n_transcribers"),
    [
        ([HEAD], Wish(), "cpu", "float32", 1),
        ([HEAD, GPU, GPU], Wish(), "gpu", "float16", 2),
        ([HEAD, Node(8, 8)], Wish(), "gpu", "float16", 8),
        ([HEAD], Wish("gpu"), "gpu", "float16", 1),  # a cluster whose GPU nodes are asked for
        ([HEAD], Wish("gpu", n_devices=8), "gpu", "float16", 8),
        ([HEAD, GPU], Wish(n_devices=8), "gpu", "float16", 8),
        ([HEAD, GPU], Wish("cpu"), "cpu", "float32", 2),
        ([HEAD, GPU], Wish("gpu", "bfloat16"), "gpu", "bfloat16", 1),
    ],
)
def test_devices_are_those_that_there_are_or_that_are_asked_for(
    nodes, wish, device, dtype, n_transcribers
):
    pools = choose_pools(nodes, wish)
    assert (pools.device, pools.dtype, pools.n_transcribers) == (device, dtype, n_transcribers)
    assert pools.is_fixed == (wish.n_devices is not None)
    assert pools.n_decoders >= 1


@pytest.mark.parametrize(
    ("n_cpus", "threads", "want"),  # want: transcribers, threads of each, decoders
    [
        ([2], None, (1, 1, 1)),
        ([16], None, (1, 15, 1)),
        ([2, 2, 2], None, (3, 1, 3)),
        ([16, 8], None, (3, 7, 3)),
        ([16], 4, (3, 4, 4)),
        ([1, 4], None, (1, 3, 2)),
    ],
)
def test_a_transcriber_on_a_cpu_has_the_threads_that_it_computes_with(n_cpus, threads, want):
    pools = choose_pools([Node(n) for n in n_cpus], Wish("cpu", threads=threads))
    assert (pools.n_transcribers, pools.threads, pools.n_decoders) == want
    assert pools.n_transcribers * pools.threads + pools.n_decoders == sum(n_cpus)


@pytest.mark.parametrize(
    ("nodes", "wish", "advice"),
    [
        ([Node(1), Node(1)], Wish(), "run without --ray"),
        ([Node(4)], Wish(threads=4), "give --threads 3"),
        ([GPU], Wish("gpu:1"), "without :N"),
    ],
)
def test_what_cannot_run_is_refused(nodes, wish, advice):
    with pytest.raises(OptionError, match=advice):
        choose_pools(nodes, wish)
