"""Search space of mini-Xception, with only its training searched.

It was made for gray images of 64x64 (faces), and takes those from 5x5. A knob fixed beside it changes the published network in
that one respect.
"""

from __future__ import annotations

from search_spaces._common import CONVOLUTIONAL
from sweeper.study.space import Choice, Space

light_cnn_published = Space(architecture="light_cnn", model={"variant": Choice("mini_xception")}, training=CONVOLUTIONAL)
