"""What an operator sets for the API."""

import pytest

from maxwhisper.errors import OptionError
from maxwhisper.web.api.errors import ApiError
from maxwhisper.web.api.settings import ApiSettings


def test_without_keys_everybody_is_served():
    ApiSettings.from_environment({}).check_key("")


def test_keys_are_read_and_not_printed():
    settings = ApiSettings.from_environment({"MAXWHISPER_API_KEYS": "one, two,"})
    assert settings.keys == ("one", "two")
    assert "one" not in repr(settings)
    settings.check_key("Bearer two")
    with pytest.raises(ApiError):
        settings.check_key("Bearer one, two")


@pytest.mark.parametrize(
    ("name", "value"), [("MAXWHISPER_API_KEYS", " , "), ("MAXWHISPER_METRICS", "all")]
)
def test_a_wrong_setting_is_an_error(name, value):
    with pytest.raises(OptionError, match=name):
        ApiSettings.from_environment({name: value})
