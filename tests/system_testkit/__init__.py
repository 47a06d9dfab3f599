"""What the system tests share: a stack with its clients, vendors in processes of their own, and what must hold."""

from system_testkit.scene import FAST, SHORT_LEASE, Scene, SceneFactory, calls_per_lead
from system_testkit.vendor_process import VendorProcess

__all__ = ["FAST", "SHORT_LEASE", "Scene", "SceneFactory", "VendorProcess", "calls_per_lead"]
