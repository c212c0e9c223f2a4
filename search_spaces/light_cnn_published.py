"""Search space for the training of mini-Xception, the published network.

It was made for grey images of 64x64 (faces), and takes images from 5x5. A knob fixed with the variant changes the published
network in that respect only.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

light_cnn_published = Space(architecture="light_cnn", model={"variant": Choice("mini_xception")}, training=CONVOLUTIONAL)
