"""How often something is trained: a line in a file for every epoch that ends, written by every process."""

import os

import keras


class Count(keras.callbacks.Callback):
    """Appends a line to the file named in ``COUNTED`` at the end of each epoch."""

    def on_epoch_end(self, epoch, logs=None):
        """Write the line at once, whole."""
        file = os.open(os.environ["COUNTED"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(file, f"{os.getpid()} {epoch + 1}\n".encode())
        os.close(file)
