"""Functions as files: what comes along, what is refused, and that the file gives what the function gave."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest

from sweeper.api.functions import file_of
from sweeper.errors import InputError
from tests.api.cells import alone, run

WIDTH = 32
HELPED = 3


def helper(value: int) -> int:
    return value + HELPED


def of_this_file(input_shape: Any, num_classes: int, *, width: int = WIDTH) -> Any:
    """A function of a module whose helper and constants come along."""
    return [helper(width), num_classes, math.floor(2.5)]


def test_a_function_of_a_file_brings_its_helper_its_constants_and_its_imports() -> None:
    text = file_of(of_this_file)
    assert alone(text)["of_this_file"]((8, 8, 1), 10) == [35, 10, 2]
    assert text.startswith('"""A function of a module whose helper and constants come along.\n')
    assert text.index("import math") < text.index("WIDTH = 32") < text.index("def helper") < text.index("def of_this_file")


NETWORK = '''
    import keras
    from keras import layers
    from keras.layers import Dense as Full
    import numpy as np
    import xml.etree.ElementTree

    FILTERS = (8, 16)
    OPTIONS = {"activation": "relu", "rates": [0.0, 0.5], "kinds": {"a", "b"}}

    class Scale(layers.Layer):
        """Multiplies by one learned number."""

        def __init__(self, start: float = 1.0, **kwargs):
            super().__init__(**kwargs)
            self.start = start

        def build(self, shape):
            self.factor = self.add_weight(shape=(), initializer=keras.initializers.Constant(self.start))

        def call(self, x):
            return x * self.factor

    def block(x, filters):
        # a comment that stays
        x = layers.Conv2D(filters, 3, padding="same")(x)
        return layers.Activation(OPTIONS["activation"])(Scale()(x))

    def mine(input_shape, num_classes, *, width: int = 1):
        image = keras.Input(input_shape)
        x = image
        for filters in FILTERS:
            x = block(x, width * filters)
        x = layers.GlobalAveragePooling2D()(x)
        return keras.Model(image, Full(num_classes)(x), name=f"mine{np.int64(width)}")
'''


def test_a_network_of_cells_with_a_layer_of_its_own() -> None:
    text = file_of(run(NETWORK)["mine"])
    assert (
        "import keras\n" in text and "from keras import layers\n" in text and "from keras.layers import Dense as Full\n" in text
    )
    assert "import numpy as np\n" in text and "# a comment that stays" in text
    assert "xml" not in text, "what is not used is not imported"
    assert "keras.layers\n" not in text.replace("from keras.layers", ""), "keras imports its own modules"
    model = alone(text)["mine"]((8, 8, 1), 3, width=2)
    assert model.count_params() == run(NETWORK)["mine"]((8, 8, 1), 3, width=2).count_params()
    assert text == file_of(run(NETWORK)["mine"]), "the same cells give the same file"


CASES = {
    "a module inside a package": ("import xml.dom.minidom\ndef mine(): return xml.dom.minidom.__name__", "xml.dom.minidom"),
    "a module by another name": ("import os.path as p\ndef mine(): return p.basename('a/b')", "b"),
    "an object by another name": ("from math import sqrt as root\ndef mine(): return root(4)", 2.0),
    "numbers no literal has": ("A, B = float('inf'), float('nan')\ndef mine(): return (A, B != B)", (math.inf, True)),
    "a tuple of one, nested": ("A = ((1,), [None], {'k': (2.5, 'x')})\ndef mine(): return A", ((1,), [None], {"k": (2.5, "x")})),
    "a dictionary of functions": ("def one(): return 1\nKINDS = {'one': one, 'len': len}\ndef mine(): return KINDS['one']()", 1),
    "a partial": ("import functools as f\ndef add(a, b): return a + b\ninc = f.partial(add, b=2)\ndef mine(): return inc(1)", 3),
    "recursion": ("def mine(n=3): return n and n + mine(n - 1)", 6),
    "two that call each other": ("def a(n): return n and b(n - 1)\ndef b(n): return n and a(n - 1)\ndef mine(): return a(3)", 0),
    "another name for a helper": ("def one(): return 1\nalso = one\ndef mine(): return also() + one()", 2),
    "a decorator of its own": (
        "def twice(f):\n    def g(): return 2 * f()\n    g.__name__ = f.__name__\n    g.__wrapped__ = f\n    return g\n"
        "@twice\ndef mine(): return 1",
        2,
    ),
    "a cached helper": ("import functools\n@functools.cache\ndef one(): return 1\ndef mine(): return one()", 1),
    "a default that is a constant": ("N = 4\ndef mine(n=N): return n", 4),
    "a comprehension, a lambda, a walrus": ("K = 2\ndef mine(): return [(lambda x: (y := x) * K)(i) for i in (0, 1)]", [0, 2]),
    "a class and the class that it is of": (
        "class Base:\n    A = 1\n    def f(self): return self.A\nclass Own(Base):\n    def g(self): return self.f() + 1\n"
        "def mine(): return Own().g()",
        2,
    ),
    "names in annotations that nothing knows": ("def mine(x: 'Nowhere' = 1) -> 'Nowhere': return x", 1),
    "a global it does not have but a builtin": ("def mine(): return max(1, 2)", 2),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_comes_along(case: str) -> None:
    cell, wanted = CASES[case]
    assert alone(file_of(run(cell)["mine"]))["mine"]() == wanted


def test_annotations_come_along_where_they_can() -> None:
    cell = """
    from typing import Annotated, Literal
    from sweeper import Int
    SHAPE = object()
    def mine(input_shape: SHAPE, num_classes: int, *, width: Annotated[int, Int(low=8, high=64)] = 16, kind: Literal["a"] = "a"):
        return width
    """
    text = file_of(run(cell)["mine"])
    assert "from typing import Annotated, Literal\n" in text and "from sweeper import Int\n" in text
    assert "object()" not in text
    assert alone(text)["mine"](None, 2) == 16


def test_values_of_the_function_around_come_along_as_they_are_now() -> None:
    width = 7

    def mine() -> int:
        return helper(width)

    text = file_of(mine)
    assert "width = 7\n" in text
    assert alone(text)["mine"]() == 10


LOADED = "class Model:\n    def f(self): return 1\nmodel = Model()\ndef mine(): return model.f()"
REFUSED = {
    "a loaded model": (LOADED, "the function mine cannot be written", "'model', a Model that lives in this process alone"),
    "an array": ("import numpy as np\nmean = np.ones(3)\ndef mine(): return mean", "'mean', an ndarray", "architectures/mine.py"),
    "of a helper": (LOADED.replace("mine", "help") + "\ndef mine(): return help()", "the function help", "'model'"),
    "an undefined name": ("def mine(): return nothing", "'nothing', which is not defined here", "before the study is made"),
    "a lambda it uses": ("f = lambda: 1\ndef mine(): return f()", "'f', a lambda", "Write it with def"),
    "a module of the user's": ("import tests.api.cells as k\ndef mine(): k.run", "'k', a module of yours", "from tests.api"),
    "a long constant": ("A = list(range(9000))\ndef mine(): return A", "'A', which is too large", "dataset"),
    "two of one name": (
        "def make(n):\n    def inner(): return n\n    return inner\n"
        "one, two = make(1), make(2)\ndef mine(): return one() + two()",
        "'inner' stands for two things",
        "another name",
    ),
    "a helper's name": ("def _mine(): return 1\nmine = _mine", "the function _mine", "Rename it"),
    "a lambda": ("mine = lambda: 1", "a lambda has no name", "def mine"),
    "a method": ("class A:\n    def f(self): return 1\nmine = A().f", "the function f", "a plain function"),
    "a class": ("class mine:\n    def f(self): return 1", "not a class", "a name or a function"),
    "a partial": ("import functools\ndef f(a): return a\nmine = functools.partial(f, 1)", "functools.partial", "sweeper.arm("),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    cell, *said = REFUSED[case]
    with pytest.raises(InputError) as error:
        file_of(run(cell)["mine"])
    assert all(words in str(error.value) for words in said), str(error.value)
    assert "\n" not in str(error.value)


def test_a_function_without_source_is_refused() -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile("def mine(): return 1\nclass Own:\n    def f(self): return 1\n", "<stdin>", "exec"), names)
    with pytest.raises(InputError, match=r"source of mine cannot be found.*code='my_code'"):
        file_of(names["mine"])
    with pytest.raises(InputError, match="source of Own cannot be found"):
        file_of(run("def using(): return Own()", names)["using"])


def test_a_file_that_was_changed_since_is_noticed() -> None:
    import linecache

    function = run("def mine(a, b=1): return a")["mine"]
    file = function.__code__.co_filename
    linecache.cache[file] = (9, None, ["def mine(a, c=2): return c\n"], file)
    with pytest.raises(InputError, match=r"no longer what it was made from\. Run the cell"):
        file_of(function)


def test_the_wrapped_function_counts() -> None:
    @functools.wraps(of_this_file)
    def around(*args: Any, **kwargs: Any) -> Any:
        return None

    assert file_of(around) == file_of(of_this_file)
