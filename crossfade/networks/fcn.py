"""A fully convolutional network on a dilated encoder: what a temporal module with its own head needs beneath it."""

from typing import final

from pydantic import PositiveInt
from torch import Tensor, nn

from crossfade.networks.arguments import Dropout, OutputStride
from crossfade.networks.base import FrameOutput
from crossfade.networks.encoders import Encoder, EncoderNetwork
from crossfade.networks.layers import conv_bn_relu


@final
class FCN(EncoderNetwork):
    """FCN head (Long et al., CVPR 2015, in the form of PSPNet's auxiliary head) on the stage before the encoder's last.

    The last stage is left to a temporal module (TMANet): `features[output_stride]`. Logits at the stride of the head's
    stage.
    """

    def __init__(
        self,
        num_classes: int,
        encoder: str = "resnet50c",
        pretrained: bool = True,
        output_stride: OutputStride = 8,
        channels: PositiveInt = 256,
        dropout: Dropout = 0.1,
        align_corners: bool = False,
    ) -> None:
        """Build the network.

        Args:
            num_classes: K.
            encoder: a timm model.
            pretrained: with its ImageNet weights.
            output_stride: of the encoder.
            channels: of the head before its classifier.
            dropout: of whole channels before the classifier.
            align_corners: how logits are enlarged, a temporal module's too; True as TMANet on Cityscapes.
        """
        super().__init__()
        self.num_classes = num_classes
        self.align_corners = align_corners
        self.encoder = Encoder(encoder, output_stride, pretrained, before_last=True)
        self.embed = conv_bn_relu(self.encoder.before_last, channels, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def decode(self, features: dict[int, Tensor]) -> FrameOutput:
        """See FrameNetwork."""
        embedding = self.embed(features[0])
        strided = {stride: value for stride, value in features.items() if stride}
        return FrameOutput(self.classifier(self.dropout(embedding)), strided, embedding)
