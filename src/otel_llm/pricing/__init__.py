"""What a call costs, in whole pico-USD.

Prices are genai-prices' business: its table, its rules which model a name means, from which day a price holds. Importing it
costs more than a hundred calls do, though, and its general calculation 70 µs, so nothing on the way of a call does either.
Once a (provider, model, tier) has been looked up, its price row is kept, in memory and in a small JSON file beside the
store, and multiplying is ours: whole numbers, exact to the pico-dollar.

A row holds for prices that are one number a token from a day on. Prices by volume, by the hour of the day, or that are no
whole pico-dollars a token stay with the library, and so does every doubt.
"""

from otel_llm.pricing.library import PROVIDERS as PROVIDERS
from otel_llm.pricing.row import FIELDS as FIELDS
from otel_llm.pricing.table import UNKNOWN_YET as UNKNOWN_YET
from otel_llm.pricing.table import PriceTable as PriceTable
