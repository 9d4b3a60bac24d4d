"""Any timm network that yields maps at strides 4 to 32."""

import pytest
import torch

from cvzoo.nn.timm_backbone import TimmConfig


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        ("convnext_atto", 1),
        ("dla34", 0),
        ("resnet18", 2),
        ("swin_tiny_patch4_window7_224", 1),
        ("tf_efficientnet_lite0", 3),
        ("vit_tiny_patch16_224", 0),
    ],
)
def test_maps_of_four_strides(name: str, frozen: int) -> None:
    body = TimmConfig(name=name, frozen_outputs=frozen).build().train()
    maps = body(torch.rand(2, 3, 64, 96))
    assert [tuple(x.shape) for x in maps] == [
        (2, channels, 64 // stride, 96 // stride) for channels, stride in zip(body.channels, (4, 8, 16, 32))
    ]
    sum(x.square().mean() for x in maps).backward()  # type: ignore[union-attr]
    still = [not parameter.requires_grad for parameter in body.parameters()]
    assert sum(still) == still.index(False) if frozen else not any(still)  # the first ones, or none


def test_the_last_maps_share_a_stride_where_they_are_dilated() -> None:
    body = TimmConfig(name="resnet18", output_stride=8).build().eval()
    assert [x.shape[-1] for x in body(torch.rand(1, 3, 64, 64))] == [16, 8, 8, 8]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("convnext_atoo", "timm has no model 'convnext_atoo'; did you mean convnext_atto"),
        ("vit_small_patch14_dinov2", r"dinov2 yields features at strides \[14, 14, 14\]; a backbone must yield 4, 8"),
        ("beit_base_patch16_224", "beit_base_patch16_224 yields no feature maps of images of any size"),
    ],
)
def test_what_cannot_be_a_body_is_said_in_a_sentence(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        TimmConfig(name=name).build()
    assert len(str(caught.value)) < 200


def test_a_plain_transformer_is_held_fixed_altogether_and_its_pyramid_is_not() -> None:
    body = TimmConfig(name="vit_tiny_patch16_224", frozen_outputs=1).build()
    still = {name.split(".")[0] for name, parameter in body.named_parameters() if not parameter.requires_grad}
    assert still == {"body"}
    assert all(parameter.requires_grad for name, parameter in body.named_parameters() if name.startswith("pyramid"))
