"""The same with what Ray Tune's pages on fault tolerance and checkpoints add: it goes on where it was left.

python ray_tune_restored.py
"""

import os
import tempfile

import keras
from counting import Count  # not counted
from keras import layers
from ray import tune

TRAIN, VALIDATION, EPOCHS, TRIALS = 5000, 1000, 6, 4
STORAGE = os.path.abspath("ray_tune_results")


class Report(keras.callbacks.Callback):
    """Reports every epoch, with the network as it is."""

    def on_epoch_end(self, epoch, logs=None):
        """Save and report."""
        with tempfile.TemporaryDirectory() as folder:
            self.model.save(os.path.join(folder, "model.keras"))
            with open(os.path.join(folder, "epochs"), "w") as file:
                file.write(str(epoch + 1))
            tune.report({"val_accuracy": logs["val_accuracy"]}, checkpoint=tune.Checkpoint.from_directory(folder))


def build(config):
    """A network with one hidden layer."""
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
    return model


def train(config):
    """One trial, from its checkpoint where there is one."""
    (images, labels), _ = keras.datasets.fashion_mnist.load_data()
    checkpoint = tune.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder:
            model = keras.models.load_model(os.path.join(folder, "model.keras"))
            with open(os.path.join(folder, "epochs")) as file:
                epochs = int(file.read())
    else:
        model, epochs = build(config), 0
    model.fit(
        images[:TRAIN],
        labels[:TRAIN],
        initial_epoch=epochs,
        epochs=EPOCHS,
        validation_data=(images[TRAIN : TRAIN + VALIDATION], labels[TRAIN : TRAIN + VALIDATION]),
        verbose=0,
        callbacks=[
            Count(),  # not counted
            Report(),
        ],
    )


trainable = tune.with_resources(train, {"cpu": 1})
path = os.path.join(STORAGE, "clothes")
if tune.Tuner.can_restore(path):
    tuner = tune.Tuner.restore(path, trainable=trainable, resume_errored=True)
else:
    tuner = tune.Tuner(
        trainable,
        param_space={
            "hidden": tune.randint(32, 512),
            "learning_rate": tune.loguniform(0.001, 0.1),
            "momentum": tune.uniform(0.1, 0.9),
        },
        tune_config=tune.TuneConfig(metric="val_accuracy", mode="max", num_samples=TRIALS),
        run_config=tune.RunConfig(name="clothes", storage_path=STORAGE, failure_config=tune.FailureConfig(max_failures=2)),
    )
results = tuner.fit()
best = results.get_best_result()
print("best", best.config, best.metrics["val_accuracy"])
