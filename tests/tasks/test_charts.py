"""Charts of figures."""

from __future__ import annotations

import re

from cvzoo.tasks.charts import class_chart, confusion_chart


def test_confusion_is_shown_in_percent_of_the_true_class() -> None:
    texts = re.findall(r"<text [^>]*>(.*?)</text>", confusion_chart([[3, 1, 0], [0, 0, 0], [0, 0, 7]], ["a", "b", "c"]))
    assert texts == [*"abc", "predicted, in % of the row", *"abc", "true", "75", "25", "100"]


def test_classes_that_do_not_occur_have_no_bar() -> None:
    chart = class_chart({"a": 0.25, "b": -1.0, "c": 0.5}, "IoU")
    assert [name in chart for name in (">a<", ">b<", ">c<", ">IoU<", ">0.250<")] == [True, False, True, True, True]
