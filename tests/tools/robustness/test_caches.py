"""The short form of the suite `caches`, and damages that are damages."""

import pytest

from tools.robustness import cache_damage, caches
from tools.robustness.suite import SuiteRun, run_suite


@pytest.mark.faults
def test_our_engine_heals_its_cache_and_reads_a_read_only_one():
    record = run_suite("caches", caches, SuiteRun(is_short=True))
    assert record.failures == []
    assert record.n_cases >= 5


@pytest.mark.parametrize("name", ["a.json", "a.npz", "a.bin"])
def test_every_damage_changes_the_tree(tmp_path, name):
    content = bytes(range(256))
    names = cache_damage.damages_of(name, content)
    assert {"empty", "cut in half", "one bit flipped", "missing", "a folder"} < set(names)
    for damage in names.values():
        cache_damage.remove(tmp_path / "cache")
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache" / name).write_bytes(content)
        sound = cache_damage.tree_of(tmp_path / "cache")
        damage(tmp_path / "cache" / name)
        assert cache_damage.tree_of(tmp_path / "cache") != sound
