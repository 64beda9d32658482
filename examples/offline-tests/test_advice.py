"""`pytest` runs these without a network and without a key; `pytest --otel-llm-record=all` asks the model again."""

import pytest
from advice import what_to_wear


@pytest.mark.otel_llm_session
@pytest.mark.parametrize("city", ["Oslo", "Rome"])
def test_advice_is_about_the_weather(city):
    assert "rain" in what_to_wear(city)
