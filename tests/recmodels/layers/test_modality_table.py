import hashlib
import math

import numpy as np
import pytest
import torch

from recmodels.layers.modality_table import ModalityTable
from recmodels.modalities import Modality
from tests.recmodels.worlds import full_items

ITEMS = full_items({"0": {}, "1": {}, "2": {}, "3": {}})
IMAGE = [[1.0, 0], [0, 1], [0, 0], [0, 0]]
AUDIO = [[2.0], [0], [3], [0]]
"""Item 0 has both, 1 has an image, 2 has a sound, 3 has nothing."""


@pytest.fixture
def modalities(tmp_path):
    def a_file(name, rows):
        file = tmp_path / f"{name}.npy"
        np.save(file, np.array(rows, np.float32))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return Modality(name=name, file=file, sha256=digest, scaling="none")

    return a_file("image", IMAGE), a_file("audio", AUDIO)


def a_table(modalities, *, fusion="sum", modality_dropout=0.0, id_dropout=0.0):
    torch.manual_seed(0)
    table = ModalityTable(
        6, 5, modalities=modalities, fusion=fusion, modality_dropout=modality_dropout, id_dropout=id_dropout
    )
    table.describe(ITEMS)
    return table


def test_a_vector_is_the_sum_of_the_id_and_of_what_the_item_has(modalities):
    table = a_table(modalities).eval()
    image, audio = (table.projections[name].weight.T for name in ("image", "audio"))
    expected = table.weight.clone()
    expected[2] += image[0] + 2 * audio[0]
    expected[3] += image[1]
    expected[4] += 3 * audio[0]
    torch.testing.assert_close(table.vectors(), expected)
    ids = torch.tensor([[5, 0, 2], [1, 3, 4]])
    torch.testing.assert_close(table.vectors(ids), expected[ids])


def test_a_gate_weighs_what_the_item_has_and_nothing_else(modalities):
    table = a_table(modalities, fusion="gated").eval()
    with torch.no_grad():
        table.gates["image"].bias.fill_(math.log(3))
    image, audio = (table.projections[name].weight.T for name in ("image", "audio"))
    expected = table.weight.clone()
    expected[2] += 0.75 * image[0] + 0.25 * 2 * audio[0]
    expected[3] += image[1]
    expected[4] += 3 * audio[0]
    torch.testing.assert_close(table.vectors(), expected)
    table.vectors().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in table.parameters())


def test_an_item_whose_modality_is_left_out_is_an_item_without_it(modalities):
    table = a_table(modalities, modality_dropout=0.5).train()
    image, audio = (table.projections[name].weight.T.detach() for name in ("image", "audio"))
    drawn = (table.vectors(torch.full((400,), 2)) - table.weight[2]).detach()
    wanted = torch.stack([torch.zeros(5), image[0], 2 * audio[0], image[0] + 2 * audio[0]])
    apart = (drawn[:, None] - wanted).abs().amax(dim=2)
    shares = apart.argmin(dim=1).bincount(minlength=4) / 400
    assert apart.amin(dim=1).max() < 1e-5
    assert (shares - 0.25).abs().max() < 0.1


def test_ids_are_left_out_and_never_the_vector_that_starts_a_history(modalities):
    table = a_table(modalities, id_dropout=0.5).train()
    drawn = table.vectors(torch.tensor([0, 5]).repeat(300, 1)).detach()
    torch.testing.assert_close(drawn[:, 0], table.weight[0].detach().expand(300, 5))
    is_left_out = (drawn[:, 1].abs().amax(dim=1) == 0).float().mean()
    assert abs(is_left_out - 0.5) < 0.12


def test_new_items_are_their_modalities_alone(modalities):
    table = a_table(modalities).eval()
    known = table.vectors_from(ITEMS, catalogue=ITEMS)
    torch.testing.assert_close(known, (table.vectors() - table.weight)[2:])
    nowhere = table.vectors_from(full_items({"elsewhere": {}}), catalogue=ITEMS)
    assert not nowhere.any()


def test_what_is_shown_is_no_weight(modalities):
    assert a_table(modalities).state_dict().keys() == {
        "weight",
        "projections.image.weight",
        "projections.audio.weight",
    }


def test_the_alignment_is_info_nce_over_pairs_that_items_have(modalities):
    table = a_table(modalities).eval()
    with torch.no_grad():
        table.weight[2:] = torch.eye(5)[:4]
        table.projections["image"].weight.copy_(torch.eye(5)[:, :2])  # images are where their ids are
        table.projections["audio"].weight.copy_(torch.eye(5)[:, 3:4])  # all sounds at one place, away from ids 0 and 2
    found = table.alignment(torch.tensor([2, 3, 4, 5]), temperature=0.5)
    image = -math.log(math.e**2 / (math.e**2 + 1))  # ids 0 and 1 against their images: cosines of the unit matrix
    audio = math.log(2)  # ids 0 and 2 against two equal sounds: nothing is told
    assert found.item() == pytest.approx((image + audio) / 2, rel=1e-5)  # one item has both image and sound: no pair


def test_there_is_nothing_to_align_when_no_two_items_have_two_parts(modalities):
    table = a_table(modalities)
    assert table.alignment(torch.tensor([5]), temperature=0.5).item() == 0
