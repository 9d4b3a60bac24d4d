"""What Prometheus reads at /metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counts of one server, which share nothing with those of another in the process."""

    def __init__(self, waiting: Callable[[], float], held: Callable[[], float]) -> None:
        """`waiting`: images in the queue; `held`: bytes of uploads."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "cvzoo_requests", "Requests by address and status", ("path", "status"), registry=self.registry
        )
        self.request_seconds = Histogram(
            "cvzoo_request_seconds",
            "From the head of a request to the end of its answer",
            ("path",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.images = Counter("cvzoo_images", "Images looked at, by model", ("model",), registry=self.registry)
        self.batch_images = Histogram(
            "cvzoo_batch_images",
            "Images looked at together",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=self.registry,
        )
        self.queue_seconds = Histogram(
            "cvzoo_queue_seconds", "Wait of an image in the queue", buckets=SECONDS, registry=self.registry
        )
        self.batch_seconds = Histogram(
            "cvzoo_batch_seconds",
            "From encoded images to answers, of a batch",
            ("model",),
            buckets=SECONDS,
            registry=self.registry,
        )
        Gauge("cvzoo_queue_length", "Images that wait", registry=self.registry).set_function(waiting)
        Gauge("cvzoo_upload_bytes", "Uploads in memory", registry=self.registry).set_function(held)
        ProcessCollector(registry=self.registry)
