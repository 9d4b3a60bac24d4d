"""The queue by itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cvzoo.serve.batcher import Batcher, FullError, Job
from cvzoo.serve.settings import Settings

A, B = object(), object()


def batches_of(jobs: list[Job], max_batch: int = 8, max_pixels: int = 100) -> list[list[Job]]:
    """What one worker makes of jobs that wait before it starts."""
    batches: list[list[Job]] = []
    batcher = Batcher(Settings(workers=1, max_batch=max_batch, max_pixels=max_pixels), batches.append)
    for job in jobs:
        batcher.submit(job)
    batcher.start()
    batcher.close()
    return batches


def test_a_batch_is_of_one_model_and_starts_with_the_oldest() -> None:
    a1, b1, a2, b2, a3 = jobs = [Job(model, 1, None) for model in (A, B, A, B, A)]
    assert batches_of(jobs, max_batch=2) == [[a1, a2], [b1, b2], [a3]]


def test_a_batch_has_no_more_pixels_than_one_image_may_have() -> None:
    one, two, three = jobs = [Job(A, pixels, None) for pixels in (60, 60, 30)]
    assert batches_of(jobs, max_pixels=100) == [[one], [two, three]]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from([A, B]), st.integers(1, 100)), max_size=20),
    st.integers(1, 5),
)
def test_every_image_is_looked_at_once(drawn: list[tuple[object, int]], most: int) -> None:
    jobs = [Job(model, pixels, None) for model, pixels in drawn]
    batches = batches_of(jobs, max_batch=most, max_pixels=100)
    assert sorted(map(id, (job for batch in batches for job in batch))) == sorted(map(id, jobs))
    for batch in batches:
        assert len({id(job.model) for job in batch}) == 1
        assert len(batch) <= most
        assert sum(job.pixels for job in batch) <= 100
    for model in (A, B):
        seen = [job for batch in batches for job in batch if job.model is model]
        assert seen == [job for job in jobs if job.model is model]


def test_a_full_queue_and_what_is_withdrawn() -> None:
    batcher = Batcher(Settings(max_queue=1), lambda batch: None)
    batcher.submit(job := Job(A, 1, None))
    assert batcher.is_full
    with pytest.raises(FullError):
        batcher.submit(Job(A, 1, None))
    assert batcher.withdraw(job)
    assert not batcher.withdraw(job)
    assert len(batcher) == 0
    batcher.start()
    batcher.close()
    with pytest.raises(FullError):
        batcher.submit(job)


def test_settings_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="--max-queue is 1 or more, not 0"):
        Settings(max_queue=0)
