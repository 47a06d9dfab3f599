"""What a call costs."""

from collections.abc import Mapping

import structlog

from contactship_ai_worker.providers.base import Usage
from contactship_common.settings.ai import Price

log = structlog.get_logger()

_TOKENS_PER_PRICE = 1_000_000


class PriceList:
    """Prices by model; a dated or prefixed name (`gpt-4o-mini-2024-07-18`) is found by its longest prefix."""

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices = dict(prices)
        self._missing: set[str] = set()

    def knows(self, model: str) -> bool:
        """Whether there is a price for `model`."""
        return self._find(model) is not None

    def cost_micro_usd(self, model: str, usage: Usage) -> int:
        """Rounded up to a whole micro-USD; 0 for a model without a price, which is logged once."""
        price = self._find(model)
        if price is None:
            if model not in self._missing:
                self._missing.add(model)
                log.warning("ai_price.missing", model=model)
            return 0
        total = usage.input_tokens * price.input + usage.output_tokens * price.output
        return -(-total // _TOKENS_PER_PRICE)

    def _find(self, model: str) -> Price | None:
        name = model.removeprefix("models/")
        fitting = [known for known in self._prices if name == known or name.startswith((f"{known}-", f"{known}:"))]
        return self._prices[max(fitting, key=len)] if fitting else None
