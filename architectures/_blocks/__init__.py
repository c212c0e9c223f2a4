"""The building blocks of the architectures. Every family imports from here and from no other family.

Each name is defined in one file of this folder:

`layers`: single layers
    batch_normalization, layer_norm   normalisation over the batch, or over the channels of each position
    pooled, halving_pool              pooling that takes images of any size
    stochastic_depth, depth_rates     residual branches that are dropped while training, and how often in each layer
    LayerScale                        learned factors at the end of a residual branch

`convolutions`: convolutions, and blocks of them
    convolution                       padded equally on all sides, without bias
    depthwise_convolution             the same for each channel on its own
    rectified_convolution             with ReLU, and with or without batch normalisation
    activated_convolution             with batch normalisation and any activation, as in MobileNetV2 and EfficientNet
    large_stem                        7x7 convolution and max pooling, the first layers for large images
    plain_block                       convolutions, attention, pooling and dropout, as in small plain networks
    inverted_residual                 the block of MobileNetV2 and EfficientNet
    fan_out                           the initialiser of depthwise kernels
    scaled                            a number of channels times a factor, as a multiple of 8

`attention`: gates that weight the channels and positions of a feature map
    ATTENTION_KINDS, apply_attention  all kinds by name
    squeeze_excitation, channel_gate  weights of channels by a small perceptron (``se``)
    efficient_channel_attention       weights of channels by a small kernel (``eca``)
    convolutional_attention           CBAM: channels, then positions (``cbam``)
    bottleneck_attention              BAM: channels and positions at once (``bam``)

`transformer`: encoders over tokens
    encoder, encoder_layer            tokens to one vector, and one layer of that
    self_attention                    every token attends to all tokens
    ClassToken                        a learned token in front of the others
    POSITIONS                         the names of all ways to tell tokens their positions
    LearnedPositions, SinCosPositions  two of these ways
    SequencePooling                   the weighted mean of all tokens

`heads`: the end of a network
    hidden_layers                     hidden dense layers over all positions
    logits                            one score for each class

`checks`: a wrong knob is refused with one sentence
    check_image_and_classes           the shape of the image and the number of classes
    check_whole, check_number, check_flag, check_option  a whole number, a number, true or false, one of a few texts
    check_heads, check_positions      what attention and positions need of the width of a token
    whole_numbers                     reads text such as ``2-2-2``

`published`: networks of the literature
    variants                          lets the knob `variant` stand for the sizes of a published network
    CUSTOM                            the variant that stands for none
    of_imagenet, TORCHVISION          the published figures of a network for ImageNet, and their usual source
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
    fan_out,
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
    halving_pool,
    layer_norm,
    pooled,
    stochastic_depth,
)
from architectures._blocks.published import CUSTOM, TORCHVISION, of_imagenet, variants
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
    "of_imagenet",
    "plain_block",
    "pooled",
    "rectified_convolution",
    "scaled",
    "self_attention",
    "squeeze_excitation",
    "stochastic_depth",
    "variants",
    "whole_numbers",
]
