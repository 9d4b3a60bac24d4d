"""Names of the classes of public data sets, in the order of their numbers."""

from __future__ import annotations

from pathlib import Path


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


COCO = _names(
    """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv,
    laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase,
    scissors, teddy bear, hair drier, toothbrush
    """
)
"""In the order of the category ids."""
COCO_IDS = tuple(i for i in range(1, 91) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
"""Their category ids."""
CITYSCAPES = _names(
    """
    road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain, sky, person,
    rider, car, truck, bus, train, motorcycle, bicycle
    """
)
"""The 19 classes that are evaluated, by their train ids; those from the person on are things, of which instances are
annotated."""
ADE20K = _names(
    """
    wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth,
    door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug,
    field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column,
    signboard, chest of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path,
    stairs, runway, case, pool table, pillow, screen door, stairway, river, bridge, bookcase, blind, coffee table,
    toilet, flower, book, hill, bench, countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar,
    arcade machine, hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth, television
    receiver, airplane, dirt track, apparel, pole, land, bannister, escalator, ottoman, bottle, buffet, poster,
    stage, van, ship, fountain, conveyer belt, canopy, washer, plaything, swimming pool, stool, barrel, basket,
    waterfall, tent, bag, minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot, animal,
    bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan,
    pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag
    """
)
"""Of the scene parsing benchmark; its label maps count from 1, and 0 is none of these."""
VOC = _names(
    """
    background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse,
    motorbike, person, pottedplant, sheep, sofa, train, tvmonitor
    """
)
CAMVID = _names(
    """
    sky, building, pole, road, pavement, tree, sign symbol, fence, car, pedestrian, bicyclist
    """
)
"""As SegNet uses them; 11 in its label maps is none of these."""
LVIS = {1203: "lvis_v1.txt", 1230: "lvis_v0.5.txt"}
"""The file beside this one that names so many classes: those of LVIS (Gupta et al. 2019; its annotations are CC BY
4.0), a line each, in the order of the category ids."""


def of_objects(count: int) -> list[str] | None:
    """The classes of the public data set of objects that has so many: COCO, Cityscapes, PASCAL VOC, LVIS; else None."""
    if count in LVIS:
        return Path(__file__).with_name(LVIS[count]).read_text().splitlines()
    return next((list(names) for names in (COCO, CITYSCAPES[11:], VOC[1:]) if len(names) == count), None)
