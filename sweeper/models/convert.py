"""Another format for a model in a ``.keras`` file: a program of its own, ``python -I convert.py``, which knows Keras alone.

It never sees this package, so it also shows that the file needs none of it. Its last line says, as JSON, how far the numbers of
the new format are from those of the file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any


def savedmodel(model: Any, target: str) -> Callable[[Any], Any]:
    """Write a folder for TensorFlow; gives what it says of images."""
    import tensorflow as tf

    model.export(target, format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(target)
    return lambda images: loaded.serve(images).numpy()


def onnx(model: Any, target: str) -> Callable[[Any], Any] | None:
    """As `savedmodel`, for ONNX; None where nothing here can run it."""
    import importlib.util

    model.export(target, format="onnx", verbose=False)
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime  # type: ignore[import-not-found, unused-ignore]

    session = onnxruntime.InferenceSession(target)
    return lambda images: session.run(None, {session.get_inputs()[0].name: images})[0]


def litert(model: Any, target: str) -> Callable[[Any], Any]:
    """As `savedmodel`, for LiteRT, with the operations that every runtime of it has."""
    import tensorflow as tf

    model.export(target, format="litert", verbose=False, target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]})

    def run(images: Any) -> Any:
        interpreter = tf.lite.Interpreter(target)
        place = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(place, images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(place, images)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run


def main(source: str, target: str, kind: str, images_file: str) -> None:
    """Convert, and compare on images in an ``.npy`` file."""
    import keras
    import numpy as np

    model = keras.models.load_model(source)
    run = {"savedmodel": savedmodel, "onnx": onnx, "litert": litert}[kind](model, target)
    images = np.load(images_file, allow_pickle=False)
    difference = None if run is None else float(np.abs(run(images) - model.predict_on_batch(images)).max())
    print(json.dumps({"largest_difference": difference}))


if __name__ == "__main__":
    main(*sys.argv[1:])
