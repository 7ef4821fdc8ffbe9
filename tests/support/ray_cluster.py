"""A Ray of this machine alone, for tests of what runs on a cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


@contextmanager
def running_ray() -> Iterator[str]:
    """Start a Ray of two processors, give its address, and end it with all its processes."""
    ray: Any = pytest.importorskip("ray", reason="Ray is not installed: pip install 'vid2vid[cluster]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    usual = signal.getsignal(signal.SIGTERM)
    # At the niceness of 15 that workers usually have, other tests would leave them next to no time.
    settings = {"worker_niceness": 0}
    context = ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR", _system_config=settings
    )
    signal.signal(signal.SIGTERM, usual)  # Ray takes it for itself
    try:
        yield str(context.address_info["gcs_address"])
    finally:
        ray.shutdown()
