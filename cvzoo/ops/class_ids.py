"""Between the classes of a data set and the outputs of a network, where the two differ.

torchvision's detectors have one output per COCO category id, 91 with unused ones, while the data set has 80 classes.
`class_ids` holds the data-set class of each output and -1 for the unused; it is () where the two are the same.
"""

from __future__ import annotations

from torch import Tensor

from cvzoo.ops.transfer import on_device


def outputs_of(labels_G: Tensor, class_ids: tuple[int, ...]) -> Tensor:
    """The network output of each data-set class."""
    if not class_ids:
        return labels_G
    outputs = [-1] * (max(class_ids) + 1)
    for output, label in enumerate(class_ids):
        if label >= 0:
            outputs[label] = output
    return on_device(outputs, labels_G.device)[labels_G]


def classes_of(outputs_D: Tensor, class_ids: tuple[int, ...]) -> Tensor:
    """The data-set class of each network output, -1 for an unused one."""
    return on_device(class_ids, outputs_D.device)[outputs_D] if class_ids else outputs_D
