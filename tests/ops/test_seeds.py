"""Random streams differ in every number they are made of."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from cvzoo.ops.assigners import Match
from cvzoo.ops.sampling import sample_balanced
from cvzoo.ops.seeds import stream_seed

whole = st.integers(0, 2**63)


@given(whole, whole, whole)
def test_every_number_counts(a: int, b: int, c: int) -> None:
    assert stream_seed(a, b) == stream_seed(a, b) < 2**32  # torch's CPU generators keep no more
    assert (stream_seed(a, b) == stream_seed(a, c)) == (b == c)
    assert (stream_seed(b, a) == stream_seed(c, a)) == (b == c)


def test_the_samples_of_an_image_depend_on_seed_and_image() -> None:
    def drawn(seed: int, image: int) -> list[int]:
        torch.manual_seed(seed)
        nothing = torch.zeros(500, dtype=torch.bool)
        ((_, rows),) = sample_balanced([Match(nothing.long(), nothing, ~nothing)], [image], 9, 0.5)
        return rows.tolist()

    assert drawn(1, 7) == drawn(1, 7)
    assert drawn(1, 7) != drawn(2, 7)
    assert drawn(1, 7) != drawn(1, 8)
    assert drawn(1, 7) != drawn(1 + 2**32, 7)
    assert drawn(1, -7) == drawn(1, -7)
