"""Every package has a row on the page, with a licence."""

from tools.licences import DOCUMENT, START, licence_of, pinned, with_requirements


def test_every_package_that_is_asked_for_has_a_licence_on_the_page():
    rows = DOCUMENT.read_text(encoding="utf-8").partition(START)[2]
    for name in pinned():
        assert f"| {name} | {licence_of(name)} | asked for |" in rows, (
            "run: python -m tools.licences"
        )
    assert "not said" not in rows.replace("brought along", "")


def test_packages_that_are_brought_along_are_found():
    assert {"soxr", "numba"} <= with_requirements({"librosa"})
    assert with_requirements({"no-such-package"}) == set()
