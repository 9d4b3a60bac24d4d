"""Published weights by the toolbox that has published them. Imports no torch."""

from __future__ import annotations

from cvzoo.weights.remote import named_by_md5, named_by_sha256
from cvzoo.zoo.system import Published, Reference

DETECTRON2 = "https://github.com/facebookresearch/detectron2/blob/main"
DETECTRON2_STORE = "https://dl.fbaipublicfiles.com/detectron2"
LICENSED = ("MODEL_ZOO.md", "projects/DensePose/doc/DENSEPOSE_IUV.md")
"""Pages of detectron2 that put the files which they list under CC BY-SA 3.0."""
TORCHVISION = "https://docs.pytorch.org/vision/stable/models.html"
TORCHVISION_STORE = "https://download.pytorch.org/models"
MMDETECTION = "https://github.com/open-mmlab/mmdetection/tree/main/configs"
MMDETECTION_STORE = "https://download.openmmlab.com/mmdetection/v2.0"
MMSEGMENTATION = "https://github.com/open-mmlab/mmsegmentation/tree/main/configs"
MMSEGMENTATION_STORE = "https://download.openmmlab.com/mmsegmentation/v0.5"
CVPODS = "https://github.com/Megvii-BaseDetection/cvpods/tree/master/playground"
ORIGINAL_PAGE = "original page, 2020"
"""Megvii's internal page of cvpods before its release; it has no address."""


def torchvision(file: str, name: str = "torchvision", note: str = "", **results: float) -> Published:
    """A detector of torchvision."""
    page = f"{TORCHVISION}#{'instance-segmentation' if 'mask_AP' in results else 'object-detection'}"
    file_ = named_by_sha256(f"{TORCHVISION_STORE}/{file}.pth")
    return Published(name=name, file=file_, results=results, page=page, note=note)


def detectron2(
    path: str,
    name: str = "detectron2",
    page: str = "MODEL_ZOO.md",
    note: str = "640-800",
    store: str = DETECTRON2_STORE,
    config: str = "",
    other_measure: bool = False,
    **results: float,
) -> Published:
    """A file of detectron2 or of one of its projects; nearly all were trained on short sides of 640 to 800 px."""
    file = named_by_md5(f"{store}/{path}.pkl")
    licence = "cc-by-sa-3.0" if page in LICENSED else ""
    return Published(
        name=name,
        file=file,
        results=results,
        page=f"{DETECTRON2}/{page}",
        note=note,
        licence=licence,
        config=config,
        other_measure=other_measure,
    )


def mmdetection(path: str, name: str = "mmdetection", note: str = "", **results: float) -> Published:
    """A file of mmdetection."""
    page = f"{MMDETECTION}/{path.split('/')[0]}"
    file = named_by_sha256(f"{MMDETECTION_STORE}/{path}.pth")
    return Published(name=name, file=file, results=results, page=page, note=note)


def mmsegmentation(
    path: str, name: str = "mmsegmentation", note: str = "", config: str = "", **results: float
) -> Published:
    """A file of mmsegmentation."""
    page = f"{MMSEGMENTATION}/{path.split('/')[0]}"
    file = named_by_sha256(f"{MMSEGMENTATION_STORE}/{path}.pth")
    return Published(name=name, file=file, results=results, page=page, note=note, config=config)


def cvpods(path: str, note: str = "", **results: float) -> Reference:
    """What cvpods states; its files have no public store."""
    return Reference(name="cvpods", results=results, page=f"{CVPODS}/{path}", note=note)


def original(
    mem_gb: float | None = None,
    train: float | None = None,
    inf: float | None = None,
    note: str = "",
    **results: float,
) -> Reference:
    """What the page states that this zoo started from; seconds of an iteration and of an image."""
    return Reference(
        name=ORIGINAL_PAGE, results=results, note=note, mem_gb=mem_gb, train_s_per_iter=train, inf_s_per_im=inf
    )
