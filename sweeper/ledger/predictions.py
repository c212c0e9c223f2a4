"""What the trials of the confirm stage predicted, image by image.

::

    <study>/predictions/<trial>.parquet     one row an image: trial, split, row, label, probabilities

``split`` is ``validation`` or ``test``, ``row`` the number of the image (see `sweeper.training.final`), ``probabilities`` has one
number per class. The names of the classes are in the metadata of each file. `pandas.read_parquet` reads the folder as one table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sweeper.errors import LedgerError
from sweeper.storage import Place, explain_reading

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

Part = tuple[str, "NDArray[Any]", "NDArray[Any]", "NDArray[Any]"]
"""Split, rows, labels, probabilities (images, classes)."""


def write(folder: Place, trial: str, parts: Sequence[Part], class_names: Sequence[str]) -> None:
    """Write the predictions of a trial, whole; older ones of it are replaced.

    Raises:
        OSError: The disk did not take them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for split, rows, labels, probabilities in parts:
        values = pa.array(probabilities.astype("float32").reshape(-1))
        columns = {
            "trial": pa.array([trial] * len(rows)),
            "split": pa.array([split] * len(rows)),
            "row": pa.array(rows, pa.int32()),
            "label": pa.array(labels, pa.int32()),
            "probabilities": pa.FixedSizeListArray.from_arrays(values, probabilities.shape[1]),
        }
        tables.append(pa.table(columns))
    whole = pa.concat_tables(tables).replace_schema_metadata({"class_names": json.dumps(list(class_names))})
    stream = pa.BufferOutputStream()
    pq.write_table(whole, stream, compression="zstd")
    folder.make_folder()
    (folder / f"{trial}.parquet").write_whole(stream.getvalue(), may_replace=True)


def read(folder: Place) -> tuple[pa.Table | None, tuple[str, ...]]:
    """All predictions of a study, and the names of its classes; None and no name where there are none.

    Args:
        folder: The study's folder.

    Raises:
        LedgerError: A file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables, names = [], ()
    for name in sorted((folder / "predictions").names()):
        if not name.endswith(".parquet"):
            continue
        path = folder / "predictions" / name
        try:
            table = pq.read_table(pa.BufferReader(path.read_bytes()))
            names = tuple(json.loads(table.schema.metadata[b"class_names"]))
        except OSError as error:
            raise LedgerError(explain_reading(error, path)) from error
        except (pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
            raise LedgerError(
                f"{path} holds no predictions any more ({error}). Remove it; nothing else of the study depends on it."
            ) from error
        tables.append(table)
    return (pa.concat_tables(tables).replace_schema_metadata(None) if tables else None), names
