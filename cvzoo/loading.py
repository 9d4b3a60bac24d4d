"""A recipe's model with the weights the recipe names. The row decides how a file is read: see `weights/source.py`."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from cvzoo import zoo
from cvzoo.data.class_names import COCO, COCO_IDS
from cvzoo.nn.bodies import OwnBody
from cvzoo.nn.model import Model
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import changes, from_json, with_changes
from cvzoo.runtime.formats import is_exported
from cvzoo.runtime.model import Exported
from cvzoo.tasks import task_of
from cvzoo.weights.backbones import load_backbone
from cvzoo.weights.carry import carried
from cvzoo.weights.class_count import class_count, scoring
from cvzoo.weights.download import download
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.files import READERS, find_file, read_weights
from cvzoo.weights.hub import WEIGHTS, is_hub, snapshot
from cvzoo.weights.keys.rename import State
from cvzoo.weights.source import Source
from cvzoo.weights.stated import stated
from cvzoo.weights.stated.eval_sizes import EvalSizes, eval_sizes, recorded_sizes
from cvzoo.weights.stated.style import named_style, style_of, styled
from cvzoo.weights.stated.text import head_of, settings_of
from cvzoo.weights.strict import load_state
from cvzoo.zoo.system import Published, System

log = logging.getLogger(__name__)


CLASSES = ("model.num_classes", "model.class_ids")
"""What the weights decide in any case."""


ASSUMED = (
    "%s has no config in it or beside it, so it is taken for %s as its toolbox publishes that: images enter as %s."
    " Where that is wrong, put detectron2's config.yaml or OpenMMLab's .py beside it; --weights-style caffe or pytorch"
    " changes how images enter"
)
"""Of weights whose conventions nothing tells."""


class Loaded(NamedTuple):
    """A model and where its weights come from."""

    model: Model
    recipe: Recipe[Any]
    """With the model options that the weights brought along."""
    data: dict[str, Any]
    """What the weights were trained on, see `cvzoo.data.dataset.identity`; nothing where no file says so."""

    file: Path | None = None
    """The weights' file, where the user named one."""
    kept: frozenset[str] = frozenset()
    """Keys of the model's tensors that are the weights', whole."""
    note: str = ""
    """What became of the outputs of weights for other classes, in a line."""

    @property
    def classes(self) -> list[str] | None:
        """Names of the classes, where the weights bring them."""
        return self.data.get("classes")

    @property
    def class_names(self) -> list[str]:
        """The same; where the weights bring none they are called class 0, class 1 ..."""
        return list(self.classes or (f"class {label}" for label in range(class_count(self.recipe.model))))

    @property
    def category_ids(self) -> list[int]:
        """The number of each class in the data set of the weights.

        Where no file says so: COCO's of COCO's classes; otherwise they are counted from 1.
        """
        names = self.class_names
        return list(self.data.get("category_ids") or (COCO_IDS if names == list(COCO) else range(1, len(names) + 1)))


def build_with_weights(recipe: Recipe[Any], classes: Sequence[str] | None = None) -> Loaded:
    """The recipe's model with the weights it names.

    `weights` is a published name, a path, or `hf:OWNER/NAME`. The weights decide the model's options, except those in
    which the recipe differs from the row's own: what a user has set stays. Without `weights`, `backbone_weights` fill
    the backbone; without either, all is random. A model that is to learn `classes` takes over all but the class outputs
    from weights for others, and the outputs of classes of the same name; without `classes` the weights' own are asked
    for.

    Raises: WeightsError for weights that are unknown, unreadable or do not fit; for other classes than were asked for.
    """
    if recipe.weights is None:
        model = recipe.model.build()
        if recipe.backbone_weights is not None:
            load_backbone(model.backbone, recipe.model.backbone, recipe.backbone_weights)
        return Loaded(model, recipe, {})
    if is_exported(recipe.weights):
        return _exported(Path(recipe.weights), recipe, classes)
    found = _find(recipe)
    own = None if recipe.weights in published_weights(recipe.row) else found.path
    if classes is None:
        _check_count(found, recipe)
        _tell_sizes(found.source, found.sizes, recipe)
    config = _with_changes(found, recipe)
    names = found.data.get("classes")
    if classes is None or _scores(classes, found):
        model = config.build()
        load_state(model, found.state, found.source)
        unnamed = f"{found.source} names no classes; its outputs are taken for the data set's classes in their order"
        note = "" if classes is None or names else unnamed
        return Loaded(model, replace(recipe, model=config), found.data, own, frozenset(found.state), note)
    model = scoring(config, len(classes)).build()
    state, begun, note = carried(found.state, config, names, model.state_dict(), classes)
    load_state(model, state, found.source)
    note = f"{found.source} is of other classes: {note}"
    return Loaded(model, replace(recipe, model=model.config), {}, own, frozenset(state) - begun, note)


def _exported(path: Path, recipe: Recipe[Any], classes: Sequence[str] | None) -> Loaded:
    """A file that `cvzoo export` has written, for the recipe's row."""
    if classes is not None:
        raise WeightsError(f"{path} is an exported file, which cannot be trained; give the weights it was made from")
    model = Exported(path)
    config = _recorded(model.facts.recipe, recipe, str(path))
    if kept := {name for name in _changes(recipe) if name not in CLASSES}:
        options = " ".join(f"--{name.replace('_', '-')}" for name in kept)
        raise WeightsError(f"{path} is an exported file, whose model is as it is; leave out {options}")
    model.config = config
    _tell_sizes(str(path), recorded_sizes(model.facts.recipe), recipe)
    return Loaded(model, replace(recipe, model=config), model.facts.data, path)


def _tell_sizes(source: str, sizes: EvalSizes | None, recipe: Recipe[Any]) -> None:
    if sizes is not None and (told := sizes.told(recipe.data)):
        log.warning("%s: %s", source, told)


def published_weights(row: str) -> dict[str, Published]:
    """The published weights of a row by name; none of a row that is not of the zoo."""
    return {entry.name: entry for entry in zoo.ROWS[row].published} if row in zoo.ROWS else {}


def system_of(recipe: Recipe[Any]) -> System:
    """The system of a recipe: that of its row or, of a row that is not of the zoo, of its model."""
    return zoo.system_of(recipe.row) if recipe.row in zoo.ROWS else _system_of_model(recipe.model)


def _system_of_model(config: Any) -> System:
    """Where two systems have rows of one kind of model it is the one whose sources fit this model."""
    kind = type(config)
    having = [system for system in zoo.SYSTEMS if any(type(row.recipe().model) is kind for row in system.rows)]
    return next((system for system in having if _variants(system, config)), having[0])


class Found(NamedTuple):
    """Weights and the model they are for."""

    source: str
    """What to call them in errors."""
    path: Path
    state: State
    """Under our keys."""
    config: Any
    data: dict[str, Any]
    """What they were trained on, as far as it is known."""
    sizes: EvalSizes | None = None
    """How large its own test takes images, where that is known."""


def _find(recipe: Recipe[Any]) -> Found:
    assert recipe.weights is not None
    published = published_weights(recipe.row)
    if recipe.weights in published:
        path = download(published[recipe.weights].file)
        name = recipe.weights
    else:
        path = snapshot(recipe.weights) / WEIGHTS if is_hub(recipe.weights) else Path(recipe.weights)
        if not path.exists():
            raise WeightsError(_unknown(recipe, list(published)))
        path = find_file(path)
        name = str(path)
    file = read_weights(path)
    if file.recipe is not None:
        return Found(
            name, path, file.state, _recorded(file.recipe, recipe, name), file.data, recorded_sizes(file.recipe)
        )
    told = published[recipe.weights].config if recipe.weights in published else ""
    state, config = read_state(file.state, recipe, name, file.record + told)
    if recipe.weights in published:
        return Found(name, path, state, config, _published_data(recipe, config), eval_sizes(file.record))
    if not recipe.weights_style and not settings_of(file.record):
        log.warning(ASSUMED, name, _variants(system_of(recipe), config)[0], style_of(config))
    return Found(name, path, state, config, _named(file.data, config, name), eval_sizes(file.record))


def _named(data: dict[str, Any], config: Any, source: str) -> dict[str, Any]:
    """What a toolbox's file says of its data; nothing where it names more or fewer classes than it scores."""
    names, count = data.get("classes"), class_count(config)
    if names is None or len(names) == count:
        return data
    log.warning("%s names %d classes but scores %d: its names are left out", source, len(names), count)
    return {}


def _published_data(recipe: Recipe[Any], config: Any) -> dict[str, Any]:
    """Published weights are trained on the data of the row they are published for."""
    own = zoo.ROWS[recipe.row].recipe()
    names = task_of(own).class_names(own, class_count(config))
    return {"classes": names} if names else {}


def read_state(state: State, recipe: Recipe[Any], source: str, record: str = "") -> tuple[State, Any]:
    """A toolbox's state under our keys, and the config it needs in the recipe's row. WeightsError if it is none of it.

    `source` names it in errors; `record` is what the file says of itself (`WeightsFile.record`).
    """
    for candidate in system_of(recipe).sources():
        if candidate.reads(state, record) and candidate.fits(recipe.model):
            try:
                ours = candidate.translate(state)
                config = candidate.told(candidate.config(ours, recipe.model), record)
            except KeyError as error:
                raise WeightsError(
                    f"{source} has keys as {candidate.what} but lacks {error}: it is no whole one"
                ) from error
            config = named_style(config, record) if candidate.name == "mmdetection" else config
            config = stated(config, record, source)
            return ours, config if recipe.weights_style is None else styled(config, recipe.weights_style)
    raise WeightsError(_other_system(state, recipe, source, record))


def _recorded(saved: dict[str, Any], recipe: Recipe[Any], source: str) -> Any:
    """The model config that one of our own files was saved with, for the recipe's row."""
    row, wanted = saved["row"], recipe.model
    own = isinstance(wanted.backbone, OwnBody)  # which no file can bring along
    default = zoo.ROWS[row].recipe().model if row in zoo.ROWS and not own else wanted
    try:
        config = from_json(saved["model"], default)
    except ValueError as error:
        raise WeightsError(f"{source} was saved by another version of cvzoo, whose options differ: {error}") from error
    if type(config) is type(wanted) and _network(config) == _network(wanted):
        return config
    adopted = system_of(recipe).adopt(config, wanted)
    if adopted is None:
        raise WeightsError(_refused(recipe, source, _network(config), [row]))
    return adopted


def _network(config: Any) -> list[str]:
    """What a config is of, whichever row it is a change of."""
    return _variants(_system_of_model(config), config)


def _variants(system: System, config: Any) -> list[str]:
    """What a config is of, in the words of the system's sources."""
    return list(dict.fromkeys(source.what for source in system.sources() if source.fits(config)))


def _other_system(state: State, recipe: Recipe[Any], source: str, record: str) -> str:
    """Why no source of the row's system reads a state: which others do, and in which rows."""
    matches = [(system, found) for system in zoo.SYSTEMS for found in system.sources() if found.reads(state, record)]
    if not matches:
        some = ", ".join(list(state)[:4]) + (" ..." if len(state) > 4 else "")
        head, keys = head_of(record), [x.what for s in zoo.SYSTEMS for x in s.sources() if x.marker.fits(state)]
        if head and keys:
            return (
                f"{source} has keys as {' and '.join(dict.fromkeys(keys))}, but its config states a {head}, which cvzoo"
                " does not compute; run it with its own toolbox"
            )
        toolboxes = dict.fromkeys(found.name for system in zoo.SYSTEMS for found in system.sources())
        return (
            f"{source} holds no weights of a model that cvzoo knows; {len(state)} keys: {some}. It reads models of"
            f" {', '.join(toolboxes)}; a backbone alone goes to --backbone-weights"
        )
    rows = [row for system, found in matches for row in _rows_for(system, found)]
    return _refused(recipe, source, [found.what for _, found in matches], rows)


def _rows_for(system: System, source: Source[Any]) -> Iterator[str]:
    """Rows of the zoo in which a source's weights load."""
    yield from (row.name for row in system.rows if source.fits(row.recipe().model))


def _refused(recipe: Recipe[Any], source: str, what: list[str], rows: list[str]) -> str:
    start = f"{source} holds weights of {' or '.join(dict.fromkeys(what))},"
    backbone = f"or start from the backbone alone: --weights None --backbone-weights {source}"
    options = [f"--{name.replace('_', '-')}" for name in _changes(recipe)]
    if recipe.row in rows and options:
        return f"{start} as {recipe.row} is, but not with {' '.join(options)}; leave that out, {backbone}"
    fitting = [row for row in dict.fromkeys(rows) if row != recipe.row]
    listed = f" ({', '.join(fitting)})" if fitting else ""
    return f"{start} the row is another system; choose a row of that system{listed}, {backbone}"


def _changes(recipe: Recipe[Any]) -> dict[str, Any]:
    """What sets the recipe's model apart from its row's own, by the option's name."""
    return {name: value for name, value in changes(recipe, own_recipe(recipe)).items() if name.startswith("model.")}


def sets_classes(recipe: Recipe[Any]) -> bool:
    """Whether the recipe's number of classes is another one than its row's: somebody has set it."""
    return "model.num_classes" in _changes(recipe)


def own_recipe(recipe: Recipe[Any]) -> Recipe[Any]:
    """The recipe that the row has of its own; of a row that is not of the zoo, this one."""
    return zoo.ROWS[recipe.row].recipe() if recipe.row in zoo.ROWS else recipe


def _scores(classes: Sequence[str], found: Found) -> bool:
    """Whether weights are for these classes, in whatever order; where no names are known, for so many."""
    names = found.data.get("classes")
    return class_count(found.config) == len(classes) and (names is None or sorted(names) == sorted(classes))


def _check_count(found: Found, recipe: Recipe[Any]) -> None:
    """WeightsError when the recipe asks for another number of classes than weights score."""
    asked = _changes(recipe).get("model.num_classes", found.config.num_classes)
    if asked != found.config.num_classes:
        raise WeightsError(
            f"{found.source} scores {class_count(found.config)} classes, the recipe asks for {asked}. Leave out"
            f" --model.num-classes {asked} to use the weights as they are; `cvzoo train` starts from weights for other"
            " classes"
        )


def _with_changes(found: Found, recipe: Recipe[Any]) -> Any:
    """The weights' config, classes included, with what else sets the recipe's model apart from its row's own."""
    kept = {name: value for name, value in _changes(recipe).items() if name not in CLASSES}
    return with_changes(found.config, {name.removeprefix("model."): value for name, value in kept.items()})


def _unknown(recipe: Recipe[Any], names: list[str]) -> str:
    weights = recipe.weights or ""
    if "/" in weights or Path(weights).suffix in READERS:
        return f"there is no weights file {weights}; check the path"
    near = difflib.get_close_matches(weights, names, n=3)
    known = f"published for {recipe.row}: {', '.join(names)}" if names else f"nothing is published for {recipe.row}"
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"there are no weights named {weights!r}{hint} ({known}; or give the path of a file)"
