"""Ray Tune's Keras example, written as its documentation does it: a training function that reports every epoch.

python ray_tune_example.py
"""

import keras
from counting import Count  # not counted
from keras import layers
from ray import tune
from ray.tune.integration.keras import TuneReportCheckpointCallback

TRAIN, VALIDATION, EPOCHS, TRIALS = 5000, 1000, 6, 4


def train(config):
    """One trial."""
    (images, labels), _ = keras.datasets.fashion_mnist.load_data()
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(config["hidden"], activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(config["learning_rate"], momentum=config["momentum"]),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(
        images[:TRAIN],
        labels[:TRAIN],
        epochs=EPOCHS,
        validation_data=(images[TRAIN : TRAIN + VALIDATION], labels[TRAIN : TRAIN + VALIDATION]),
        verbose=0,
        callbacks=[
            Count(),  # not counted
            TuneReportCheckpointCallback(metrics={"val_accuracy": "val_accuracy"}),
        ],
    )


tuner = tune.Tuner(
    tune.with_resources(train, {"cpu": 1}),
    param_space={
        "hidden": tune.randint(32, 512),
        "learning_rate": tune.loguniform(0.001, 0.1),
        "momentum": tune.uniform(0.1, 0.9),
    },
    tune_config=tune.TuneConfig(metric="val_accuracy", mode="max", num_samples=TRIALS),
)
results = tuner.fit()
best = results.get_best_result()
print("best", best.config, best.metrics["val_accuracy"])
