"""What a server is told at its start. Imports no torch and nothing of the extra [serve]."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Bounds on what clients may ask and on the work that is taken on."""

    max_bytes: int = 20_000_000
    """Bytes of an uploaded image file; more are refused before they are read."""
    max_pixels: int = 40_000_000
    """Pixels of an image, as its header states them; more are refused before they are decoded."""
    max_queue: int = 64
    """Images that may wait; whoever comes then is told at once to come again (503)."""
    queue_seconds: float = 10.0
    """Seconds that an image may wait before its client is told to come again."""
    upload_seconds: float = 30.0
    """Seconds that an upload may take, and an answer to move on."""
    workers: int = 2
    """Threads that look at images; they share the cores and the weights."""
    max_batch: int = 8
    """Images of different clients that are looked at together."""
    batch_seconds: float = 0.005
    """Seconds that the first image of a batch waits for others when nothing else is to be done."""

    def __post_init__(self) -> None:
        for field in fields(Settings):
            value = getattr(self, field.name)
            if value < (least := 0 if field.name.endswith("seconds") else 1):
                raise ValueError(f"--{field.name.replace('_', '-')} is {least} or more, not {value}")
