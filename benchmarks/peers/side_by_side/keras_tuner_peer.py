"""Keras Tuner's introductory task: `build(hp)` searched on Fashion-MNIST, written as its guide does it.

python keras_tuner_peer.py
"""

import os

import keras
import keras_tuner
from counting import Count  # not counted
from keras import layers

TRAIN, VALIDATION, EPOCHS, TRIALS = 5000, 1000, 6, 4


def build(hp):
    """One hidden layer, its knobs asked of the tuner."""
    model = keras.Sequential([keras.Input((28, 28)), layers.Rescaling(1 / 255), layers.Flatten()])
    model.add(layers.Dense(hp.Int("units", 32, 512, step=32), activation=hp.Choice("activation", ["relu", "tanh"])))
    if hp.Boolean("dropout"):
        model.add(layers.Dropout(0.25))
    model.add(layers.Dense(10))
    model.compile(
        optimizer=keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


(images, labels), _ = keras.datasets.fashion_mnist.load_data()
train = images[:TRAIN], labels[:TRAIN]
validation = images[TRAIN : TRAIN + VALIDATION], labels[TRAIN : TRAIN + VALIDATION]
tuner = keras_tuner.RandomSearch(
    build,
    objective="val_accuracy",
    max_trials=TRIALS,
    seed=0,
    directory="keras_tuner_results",
    project_name="clothes",
)
tuner.search(
    *train,
    epochs=EPOCHS,
    validation_data=validation,
    verbose=0,
    callbacks=[Count()],  # not counted
)
tuner.results_summary()
best = tuner.get_best_models()[0]
best.save(os.path.join("keras_tuner_results", "best.keras"))
