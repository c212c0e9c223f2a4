"""The building blocks of the architectures. A family imports them from here, and imports no other family.

The table of contents, by file:

`layers`: single layers
    batch_normalization, layer_norm   normalisation over the batch, or over the channels of each position
    pooled, halving_pool              pooling that takes images of any size
    stochastic_depth, depth_rates     dropping residual branches while training, and the rate of each layer
    fan_out                           the initialiser of depthwise kernels
    LayerScale                        learned factors at the end of a residual branch

`convolutions`: convolutions, and blocks of them
    convolution                       convolution, padded equally on all sides
    depthwise_convolution             the same for each channel on its own
    rectified_convolution             convolution and ReLU, with or without batch normalisation
    activated_convolution             convolution, batch normalisation and any activation
    large_stem                        7x7 convolution and max pooling: first layers for large images
    plain_block                       convolutions, attention, pooling and dropout: the block of the small CNNs
    inverted_residual                 the block of MobileNetV2 and EfficientNet
    scaled                            a number of channels times a factor, as a multiple of 8

`attention`: gates that weight the channels and positions of a feature map
    ATTENTION_KINDS, apply_attention  all kinds by name
    squeeze_excitation, channel_gate  ``se``: channels weighted by a small perceptron
    efficient_channel_attention       ``eca``: channels weighted by a small kernel
    convolutional_attention           ``cbam``: channels, then positions
    bottleneck_attention              ``bam``: channels and positions at once

`transformer`: encoders over tokens
    encoder, encoder_layer            a whole encoder, from a map of tokens to one vector, and one of its layers
    self_attention                    every token attends to all tokens
    ClassToken                        a learned token in front of the others
    POSITIONS                         kinds of position embedding
    LearnedPositions, SinCosPositions  two of them
    SequencePooling                   weighted mean of all tokens

`heads`: the end of a network
    hidden_layers                     hidden dense layers over all positions
    logits                            one logit for each class

`checks`: refuse a knob with a wrong value
    check_image_and_classes           the shape of an image and the number of classes
    check_whole, check_number         a whole number, or any number, within limits
    check_flag, check_option          true or false, or one of a few texts
    check_heads, check_positions      attention heads and positions that fit the width of a token
    whole_numbers                     a text such as ``2-2-2``; returns its numbers

`published`: networks from the literature
    variants                          gives an architecture the sizes of published networks
    CUSTOM                            the variant that is no published network
    FER_GUIDE, of_fer_guide           the variant that is the network of a guide to facial expressions, and its figures
    remade, KERAS_DEFAULTS            a network with other options of its layers, such as Keras's own
    of_imagenet, TORCHVISION          the figures of a published network for ImageNet, and their usual source
"""

from architectures._blocks.attention import (
    ATTENTION_KINDS,
    apply_attention,
    bottleneck_attention,
    channel_gate,
    convolutional_attention,
    efficient_channel_attention,
    squeeze_excitation,
)
from architectures._blocks.checks import (
    check_flag,
    check_heads,
    check_image_and_classes,
    check_number,
    check_option,
    check_positions,
    check_whole,
    whole_numbers,
)
from architectures._blocks.convolutions import (
    activated_convolution,
    convolution,
    depthwise_convolution,
    inverted_residual,
    large_stem,
    plain_block,
    rectified_convolution,
    scaled,
)
from architectures._blocks.heads import hidden_layers, logits
from architectures._blocks.layers import (
    LayerScale,
    batch_normalization,
    depth_rates,
    fan_out,
    halving_pool,
    layer_norm,
    pooled,
    stochastic_depth,
)
from architectures._blocks.published import (
    CUSTOM,
    FER_GUIDE,
    KERAS_DEFAULTS,
    TORCHVISION,
    of_fer_guide,
    of_imagenet,
    remade,
    variants,
)
from architectures._blocks.transformer import (
    POSITIONS,
    ClassToken,
    LearnedPositions,
    SequencePooling,
    SinCosPositions,
    encoder,
    encoder_layer,
    self_attention,
)

__all__ = [
    "ATTENTION_KINDS",
    "CUSTOM",
    "FER_GUIDE",
    "KERAS_DEFAULTS",
    "POSITIONS",
    "TORCHVISION",
    "ClassToken",
    "LayerScale",
    "LearnedPositions",
    "SequencePooling",
    "SinCosPositions",
    "activated_convolution",
    "apply_attention",
    "batch_normalization",
    "bottleneck_attention",
    "channel_gate",
    "check_flag",
    "check_heads",
    "check_image_and_classes",
    "check_number",
    "check_option",
    "check_positions",
    "check_whole",
    "convolution",
    "convolutional_attention",
    "depth_rates",
    "depthwise_convolution",
    "efficient_channel_attention",
    "encoder",
    "encoder_layer",
    "fan_out",
    "halving_pool",
    "hidden_layers",
    "inverted_residual",
    "large_stem",
    "layer_norm",
    "logits",
    "of_fer_guide",
    "of_imagenet",
    "plain_block",
    "pooled",
    "rectified_convolution",
    "remade",
    "scaled",
    "self_attention",
    "squeeze_excitation",
    "stochastic_depth",
    "variants",
    "whole_numbers",
]
