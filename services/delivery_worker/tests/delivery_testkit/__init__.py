"""Helpers of the delivery worker's tests."""

from delivery_testkit.deliveries import SECRET, Deliveries

__all__ = ["SECRET", "Deliveries"]
