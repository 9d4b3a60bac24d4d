"""Pascal VOC: an XML for each image, with the corners of its objects.

A corner of VOC is a pixel, counted from 1, that belongs to the box: 1, 1, 1, 1 is the first pixel of an image. In
pixels from the image's corner that box reaches from 0, 0 to 1, 1, so COCO's x is xmin - 1 and its width xmax - xmin +
1, and y likewise. Boxes of tools that count from 0 come out a pixel wider to the left and above; what sticks out of the
image is cut off. xmin = xmax would be an object one pixel wide, but is what a click without a drag leaves: such boxes
are skipped with a warning. `difficult` objects are crowds, which nobody learns or must find.
Images without an XML are left out, with a warning; an XML without objects says that there is nothing on the image.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from cvzoo.data.config import Split
from cvzoo.data.formats.document import Document, measured
from cvzoo.data.formats.image_lists import annotated
from cvzoo.data.formats.layout import Layout, paired
from cvzoo.data.problems import Findings, Problem
from cvzoo.structures import Size

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(root: Path, split: Split, findings: Findings) -> Document:
    """The images of a split that have an XML, and the classes of every XML in its folders."""
    images, others = annotated(root, split, ".xml", findings)
    document = Document()
    for image in images:
        file = image.beside(".xml")
        annotation = _parsed(file, findings)
        size = None if annotation is None else _size(annotation) or measured(image.path, findings)
        if annotation is not None and size is not None:
            document.add_image(image.name, size, file)
            for number, element in enumerate(annotation.iter("object"), start=1):
                _read_object(element, number, document, findings)
    unread = (_parsed(file, Findings()) for file in others)
    document.names = {name for one in unread if one is not None for name in map(_name, one.iter("object")) if name}
    return document


def _parsed(file: Path, findings: Findings) -> Element | None:
    try:
        root = ElementTree.parse(file).getroot()
    except (OSError, ElementTree.ParseError, ValueError) as error:
        findings.errors.append(Problem(file, f"is not valid XML ({error})", "export it again, or correct it"))
        return None
    if root.tag == "annotation":
        return root
    reason = f"is not Pascal VOC: it holds <{root.tag}>, not <annotation>"
    findings.errors.append(Problem(file, reason, "export it as Pascal VOC, or move it out of the folder"))
    return None


def _size(annotation: Element) -> Size | None:
    """Height and width; None where the file does not tell them, as many have 0."""
    try:
        width, height = (int(float(annotation.findtext(f"size/{side}", "0"))) for side in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (height, width) if min(height, width) > 0 else None


def _name(element: Element) -> str:
    return (element.findtext("name") or "").strip()


def _read_object(element: Element, number: int, document: Document, findings: Findings) -> None:
    name = _name(element)
    where = f"object {number}" + (f" ({name})" if name else "")
    texts = [element.findtext(f"bndbox/{corner}") for corner in CORNERS]
    missing = [f"<{key}>" for key, text in zip(("name", *CORNERS), (name, *texts)) if not (text or "").strip()]
    if missing:
        document.report(findings.errors, f"{where} has no {', '.join(missing)}", "give it, or remove the object")
        return
    try:
        x1, y1, x2, y2 = (float(text or "") for text in texts)
    except ValueError:
        shown = ", ".join(str(text) for text in texts)
        document.report(findings.errors, f"{where} has the corners {shown}, which are no numbers", "correct them")
        return
    difficult = (element.findtext("difficult") or "0").strip() == "1"
    if x1 == x2 or y1 == y2:
        document.add_box(name, (x1, y1, x2, y2), where, findings)  # which says that it is skipped
    else:
        document.add_box(name, (x1 - 1, y1 - 1, x2, y2), where, findings, difficult)


def voc_layout(root: Path) -> Layout | None:
    """XML files that are called like images."""
    parts = paired(root, ".xml", ("Annotations", "annotations", "xml", "xmls", "labels", ""))
    return Layout("voc", "an XML for each image", parts) if parts else None
