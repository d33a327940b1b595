"""Words that several tabs show."""

from maxwhisper.web.ui.wording import ordinal


def test_ordinals():
    shown = " ".join(map(ordinal, (1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111)))
    assert shown == "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 101st 111th"
