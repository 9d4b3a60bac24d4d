"""The parts of a person's surface as COCO DensePose numbers them, and how far apart places on them may be. No torch.

A surface has 24 parts, 1..24, each a chart with its own U and V; masks are annotated of 14 coarse parts, 1..14.
0 is no part. Left and right are the person's. COCO names the parts of the body; of the two charts that most of them
have, one covers what is seen from behind, the other what is seen from the front.
"""

from __future__ import annotations

COARSE_PARTS = (
    "torso",
    "right hand",
    "left hand",
    "left foot",
    "right foot",
    "right upper leg",
    "left upper leg",
    "right lower leg",
    "left lower leg",
    "left upper arm",
    "right upper arm",
    "left lower arm",
    "right lower arm",
    "head",
)
"""Names of the coarse parts 1..14."""
COARSE_OF = (0, 1, 1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 8, 9, 10, 11, 10, 11, 12, 13, 12, 13, 14, 14)
"""The coarse part of each part 0..24."""
SIDES = {
    **dict.fromkeys((1, 7, 8, 11, 12, 17, 18, 21, 22), "back"),
    **dict.fromkeys((2, 9, 10, 13, 14, 15, 16, 19, 20), "front"),
    **{23: "right", 24: "left"},
}
"""Which half of its coarse part a part covers, where there are two."""
PARTS = tuple(
    f"{COARSE_PARTS[COARSE_OF[part] - 1]}, {SIDES[part]}" if part in SIDES else COARSE_PARTS[COARSE_OF[part] - 1]
    for part in range(1, 25)
)
"""Names of the parts 1..24."""
MIRRORED = (0, 1, 2, *(pair for left in range(3, 24, 2) for pair in (left + 1, left)))
"""What each part 0..24 becomes in a mirrored image: left and right are neighbours, the torso's two stay."""
COARSE_MIRRORED = (0, 1, *(pair for left in range(2, 13, 2) for pair in (left + 1, left)), 14)
"""What each coarse part 0..14 becomes in a mirrored image."""
KAPPAS = (
    *(0.0, 0.351, 0.351),
    *(0.107, 0.107, 0.126, 0.126),
    *(0.237, 0.237, 0.237, 0.237),
    *(0.173, 0.173, 0.173, 0.173),
    *(0.142, 0.142, 0.142, 0.142),
    *(0.128, 0.128, 0.128, 0.128),
    *(0.150, 0.150),
)
"""The mean distance between places of each part 0..24, with which the evaluation scales distances: torso, hands, feet,
upper and lower legs, upper and lower arms, head."""
