"""A dataset by its name in the catalog, read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweeper import catalog
from sweeper.datasets import Dataset
from sweeper.errors import DatasetError, SweeperError, first_line


def read(name: str, options: Mapping[str, Any]) -> Dataset:
    """The data; the test split is not read.

    Args:
        name: Name in the catalog.
        options: Arguments of its function.

    Raises:
        DatasetError: The data are missing or wrong; or the function is a user's own, and raises or returns something else.
    """
    function = catalog.load("dataset", name)
    if catalog.origin("dataset", name) == catalog.BUILT_IN:
        found = function(**options)
        assert isinstance(found, Dataset)
        return found
    file = catalog.where("dataset", name)
    try:
        found = function(**options)
    except SweeperError:
        raise
    except Exception as error:
        code = catalog.current()
        place = (code.place_of(error) if code is not None else "") or file
        raise DatasetError(f"{place}: {type(error).__name__}: {first_line(error, 300)}.") from error
    if not isinstance(found, Dataset):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise DatasetError(
            f"{file}: {name} returns {what}. End it with: return carved(...) or assembled(...), see sweeper.datasets."
        )
    return found
