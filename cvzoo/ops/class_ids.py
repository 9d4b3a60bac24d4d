"""Between the classes of a data set and the outputs of a network, where the two differ.

torchvision's detectors have one output per COCO category id, 91 with unused ones, while the data set has 80 classes.
`class_ids` holds the data-set class of each output and -1 for the unused; it is () where the two are the same.
"""

from __future__ import annotations

from functools import lru_cache

from torch import Tensor

from cvzoo.ops.transfer import constant


def outputs_of(labels_G: Tensor, class_ids: tuple[int, ...]) -> Tensor:
    """The network output of each data-set class."""
    if not class_ids:
        return labels_G
    return constant(_outputs(class_ids), labels_G.device)[labels_G]


@lru_cache
def _outputs(class_ids: tuple[int, ...]) -> tuple[int, ...]:
    """The output of each class."""
    outputs = [-1] * (max(class_ids) + 1)
    for output, label in enumerate(class_ids):
        if label >= 0:
            outputs[label] = output
    return tuple(outputs)


def classes_of(outputs_D: Tensor, class_ids: tuple[int, ...]) -> Tensor:
    """The data-set class of each network output, -1 for an unused one."""
    return constant(class_ids, outputs_D.device)[outputs_D] if class_ids else outputs_D
