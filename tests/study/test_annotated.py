"""Search spaces that follow from the annotations of an architecture's arguments."""

from __future__ import annotations

import pytest

from sweeper import catalog
from sweeper.errors import InputError, UnknownNameError
from sweeper.owncode import Code
from sweeper.study import annotated
from sweeper.study.space import COMMON, Choice, Float, Int, Knob, Space
from sweeper.study.spec import parse
from tests.study.kit import faults, with_arm


def own(arguments: str = "input_shape, num_classes", **files: str) -> Code:
    """Code with the architecture `mine` of these arguments, and other files by path without their ending."""
    texts = {f"{path.replace('__', '/')}.py": text for path, text in files.items()}
    return Code(origin="my_code/", files={"architectures/mine.py": f"def mine({arguments}): ...\n", **texts})


def model_of(arguments: str) -> dict[str, Knob]:
    with catalog.using(own(arguments)):
        space = annotated.load("mine")
    assert space.architecture == "mine"
    assert space.training == COMMON
    return dict(space.model)


@pytest.mark.parametrize(
    ("argument", "knob"),
    [
        ("x: Annotated[int, Int(low=8, high=64, log=True)] = 32", Int(low=8, high=64, log=True, default=32)),
        ("x: t.Annotated[int, sweeper.Int(low=-2, high=64)] = 32", Int(low=-2, high=64, default=32)),
        ("x: Annotated[float, Float(low=0, high=0.5)] = 0", Float(low=0, high=0.5, default=0.0)),
        ("x: Annotated[int, Field(ge=8, le=64)] = 8", Int(low=8, high=64, default=8)),
        ("x: Annotated[int, Field(gt=7, lt=65, description='width')] = 8", Int(low=8, high=64, default=8)),
        ("x: Annotated[float, 'share', Field(ge=0, le=1)] = 0.5", Float(low=0, high=1, default=0.5)),
        ("x: Literal['a', 'b'] = 'b'", Choice("a", "b", default="b")),
        ("x: typing.Literal[1, -2] = -2", Choice(1, -2, default=-2)),
        ("x: Annotated[str, Choice('a', 'b')] = 'b'", Choice("a", "b", default="b")),
        ("x: Annotated[Literal['a', 'b'], 'which'] = 'a'", Choice("a", "b", default="a")),
        ("x: bool = True", Choice(False, True, default=True)),
        ("x: 'Annotated[int, Int(low=1, high=2)]' = 1", Int(low=1, high=2, default=1)),
        ("x: int = 3", None),
        ("x=3", None),
        ("x: bool | None = None", None),
        ("x: Literal['a', None] = None", None),
        ("x: list[int] = None", None),
        ("x: Annotated[int, Field(ge=8)] = 8", None),
        ("x: Annotated[float, Field(gt=0, le=1)] = 0.5", None),
        ("x=tf.nn.relu", None),
        ("**knobs", None),
    ],
)
@pytest.mark.parametrize("star", ["", "*, "])
def test_annotations_that_say_enough_are_searched(argument: str, knob: Knob | None, star: str) -> None:
    if star and argument.startswith("*"):
        return
    assert model_of(f"input_shape, num_classes, {star}{argument}") == ({} if knob is None else {"x": knob})


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("x: Annotated[int, Int(low=LOW, high=64)] = 8", "Int has LOW, but annotations are read, not run. Write a plain value."),
        ("x: Annotated[int, Int(low=8, high=64)] = 4", "the default 4 is outside its range; allowed: 8 to 64."),
        ("x: Annotated[int, Int(low=8.5, high=64)] = 9", "Int(low=..., high=...): low must be a whole number."),
        ("x: Annotated[int, Int(low=8)] = 9", "Int(low=..., high=...): high must be a whole number."),
        ("x: Annotated[int, Int(8, 64)] = 9", "Int takes names and values, for example Int(low=1, high=8)."),
        ("x: Annotated[int, Int(low=8, high=64, default=9)] = 9", "Int has no default here; allowed: low, high, log,"),
        ("x: Annotated[int, Float(low=8, high=64)] = 9", "Float goes with float, not with int."),
        ("x: Annotated[str, Choice('a', default='a')] = 'a'", "Choice takes its options alone here"),
        ("x: Literal['a', 'b'] = 'c'", "the default 'c' is not one of its options; allowed: a, b."),
        (
            "x: Annotated[int, Int(low=1, high=2)]",
            "argument 'x' has no default, so no arm can begin. Give it one, for example x=1.",
        ),
        ("x", "argument 'x' has no default"),
    ],
)
def test_annotations_that_make_no_sense_are_one_fault_with_their_line(argument: str, said: str) -> None:
    with catalog.using(own(f"input_shape, num_classes, {argument}")):
        with pytest.raises(InputError) as caught:
            annotated.load("mine")
        assert str(caught.value).startswith("my_code/architectures/mine.py, line 1: argument 'x'")
        assert said in str(caught.value)
        [fault] = faults(with_arm("mine: {}"))
        assert fault == f"line 4: arms.mine.architecture: {caught.value}"


def test_an_argument_with_the_name_of_a_training_knob() -> None:
    with catalog.using(own("input_shape, num_classes, momentum: bool = True")), pytest.raises(InputError) as caught:
        annotated.load("mine")
    assert "'momentum' is a field of the training recipe, not of the model. Rename the argument." in str(caught.value)


def test_a_study_with_an_own_architecture_is_read_like_any_other() -> None:
    text = with_arm("mine: {fixed: {width: 16, kernel: 5}, points: [{skip: true}]}")
    code = own(
        "input_shape, num_classes, kernel=3, *, width: Annotated[int, Int(low=8, high=64)] = 32, skip: bool = False, "
        "rate: Annotated[float, Float(low=0, high=1)] = 0"
    )
    with catalog.using(code):
        study = parse(text)
        arm = study.arms["mine"]
        assert (arm.architecture, arm.space, arm.fixed) == ("mine", "mine", {"width": 16, "kernel": 5})
        first, point = arm.first(study.space_of("mine"))
        assert first | {"width": 16, "kernel": 5, "skip": False, "rate": 0.0} == first
        assert point == first | {"skip": True}
        assert faults(text.replace("width: 16", "width: 65"))[0].endswith("65 is outside its range; allowed: 8 to 64.")
        [fault] = faults(text.replace("kernel: 5", "kernl: 5"))
        assert "unknown knob 'kernl'. Did you mean 'kernel'?" in fault
    [fault] = faults(text)
    assert "unknown architecture 'mine'" in fault
    assert fault.endswith("One of your own is given with --code FOLDER (in Python: code=FOLDER).")


def test_a_space_of_its_own_comes_first() -> None:
    space = "from sweeper import Int, Space\nmine = Space(architecture='mine', model={'x': Int(low=1, high=9, default=2)})\n"
    with catalog.using(own("input_shape, num_classes, x: bool = True", search_spaces__mine=space)):
        assert annotated.load("mine") == Space(architecture="mine", model={"x": Int(low=1, high=9, default=2)})
    with catalog.using(own(search_spaces__mine="mine = {}\n")), pytest.raises(InputError) as caught:
        annotated.load("mine")
    assert str(caught.value) == "my_code/search_spaces/mine.py: mine is a dict. Make it a search space: sweeper.Space(...)."
    with pytest.raises(UnknownNameError, match="unknown space 'mine'"):
        annotated.load("mine")
