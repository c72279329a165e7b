"""The fully ablated stream: what is left when every output is replaced, worked out once."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny_models import ARCHITECTURES, tiny_model, token_batches

from harness_circuits.passes.ablated import AblatedStream, Room
from harness_circuits.passes.native import Outputs, outputs_of, record


def outputs(architecture: str, side: str) -> Outputs:
    model, (batch,) = tiny_model(architecture), token_batches()
    inputs = getattr(batch, side)
    return outputs_of(model, inputs, record(model, inputs)[0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_replaced_by_the_corrupted_run_it_is_the_corrupted_run(architecture: str) -> None:
    model, (batch,) = tiny_model(architecture), token_batches()
    seen, _ = record(model, batch.corrupted, ("block_in", "mlp_in", "final", "q", "k", "v"))
    stream = AblatedStream(model, batch.clean, outputs(architecture, "corrupted"))
    for index in range(model.graph.n_layers):
        torch.testing.assert_close(stream.block_in[index], seen["block_in"][index])
        torch.testing.assert_close(stream.mlp_in[index], seen["mlp_in"][index])
        for kind in "qkv":
            torch.testing.assert_close(stream.projected(index, kind), seen[kind][index])
    torch.testing.assert_close(stream.final, seen["final"][model.graph.n_layers - 1])


def test_a_stream_of_one_position_is_spread_over_all() -> None:
    model = tiny_model("llama")
    found = outputs("llama", "clean")
    one = Outputs(
        found.embedded[:1, :1], [x[:1, :1] for x in found.mixed], [x[:1, :1] for x in found.mlp]
    )
    (batch,) = token_batches()
    single = AblatedStream(model, batch.clean.rows(torch.tensor([0])), one)
    narrow = AblatedStream(
        model, type(batch.clean)(batch.clean.ids[:1, :1], torch.tensor([0])), one
    )
    wide = narrow.spread(3, 6)
    assert wide.batched(wide.final).shape == (3, 6, model.graph.d_model)
    torch.testing.assert_close(wide.final, single.final)
    torch.testing.assert_close(wide.projected(1, "q"), single.projected(1, "q"))


def test_streams_side_by_side_share_all_but_their_room() -> None:
    (batch,) = token_batches()
    stream = AblatedStream(tiny_model("llama"), batch.clean, outputs("llama", "clean"))
    first, second = stream.beside(2)
    assert first is stream and second.final is stream.final and second.room is not stream.room
    assert stream.beside(2)[1] is second


def test_room_is_used_again_where_it_is_large_enough() -> None:
    room, like = Room(), torch.zeros(1)
    first = room.take((2, 3), like)
    first.fill_(7)
    again = room.take((5,), like)
    assert again.data_ptr() == first.data_ptr() and (again == 7).all()
    assert room.take((7,), like).data_ptr() != first.data_ptr()
    assert room.take((2,), like.double()).dtype == torch.float64
