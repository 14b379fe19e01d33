"""An embedding without a part: against a literal loop over clips, from what was kept and from clips embedded again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from duskmatch.config import Settings, load_settings
from duskmatch.data import ClipReader
from duskmatch.embedding import Embedder
from duskmatch.embedding.knockouts import embed_without
from duskmatch.models import SelfAttackDefense
from duskmatch.models.building import build_model
from duskmatch.models.mitml import MITML
from duskmatch.models.parts import part_pool
from duskmatch.pixels import normalise
from duskmatch.records import Tracklet
from tests.data.tree import Tree
from tests.oracle import health as oracle

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tracklets(tmp_path_factory) -> list[Tracklet]:
    """Both modalities in turn, so that rows and batches do not stand in one order."""
    from duskmatch.data import open_dataset

    people = {"train": (1, 2), "test": (3, 4, 5)}
    root = Tree(tmp_path_factory.mktemp("k") / "tree", people=people, lengths=(12,), size=(96, 48)).write()
    test = open_dataset(root).test
    sides = ([t for t in test if t.modality == m] for m in ("infrared", "visible"))
    return [t for pair in zip(*sides, strict=True) for t in pair]


def settings_with(*overrides: str) -> Settings:
    return load_settings("tiny", overrides=["data.frames_per_clip=3", "evaluate.batch_clips=4", *overrides], seed=1)


def opened(settings: Settings) -> SelfAttackDefense:
    """A network with an A that differs between clips and parts that are not all alike."""
    model = build_model(settings, 4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("guidance", "guides", "memory")):
                parameter.mul_(4)
        for buffer in (model.centre_visible, model.centre_infrared):
            buffer.copy_(0.01 * torch.randn(buffer.shape, generator=torch.Generator().manual_seed(2)))
    return model.eval()


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x)


@torch.no_grad()
def literal(model: SelfAttackDefense, settings: Settings, tracklets: list[Tracklet], part: str | None) -> np.ndarray:
    """Clip by clip, part by part: j_d with the mean of its motion, or of A, over the clips of the modality."""
    rows: dict[int, np.ndarray] = {}
    for modality in ("visible", "infrared"):
        seen = []
        for i, tracklet in enumerate(tracklets):
            if tracklet.modality != modality:
                continue
            clip = ClipReader.of(settings.data).read(tracklet).clip
            pixels = normalise(torch.from_numpy(clip.frames)[None], **settings.data.normalisation)
            maps = model.maps_to_pool(pixels, modality)
            parts = part_pool(maps[0], model.n_parts, 3)[0].numpy()  # (t k d)
            motion = oracle.motion_of(parts, model.guidance.motion_lstm)
            others = [] if len(maps) == 1 else [model.defense_neck(maps[1].mean(dim=(2, 3)).mean(dim=0)[None])[0]]
            seen.append((i, parts, motion, [other.numpy() for other in others]))
        if part == "LSTM_mot":
            middle = oracle.mean_over_clips([motion for _, _, motion, _ in seen]).astype(np.float32)
            seen = [(i, parts, middle, others) for i, parts, _, others in seen]
        spatial = [oracle.spatial_of(motion, model.guidance.spatial_lstm) for _, _, motion, _ in seen]
        a = [
            oracle.highlight_of(parts, s, model.guidance.highlight_maps)
            for (_, parts, _, _), s in zip(seen, spatial, strict=True)
        ]
        if part == "A (Eq. 12)":
            a = [oracle.mean_over_clips(a)] * len(a)
        centre = getattr(model, f"centre_{modality}").numpy()
        for (i, parts, motion, others), highlight in zip(seen, a, strict=True):
            vectors = [oracle.joined(parts, highlight, motion), *others]
            rows[i] = unit(unit(np.concatenate([unit(v) for v in vectors])) - centre)
    return np.stack([rows[i] for i in range(len(tracklets))])


@pytest.mark.parametrize("embedding", ["sequence", "both"])
def test_knocked_out_embeddings_equal_the_literal_loop(embedding, tracklets):
    settings = settings_with(f"model.embedding={embedding}")
    model = opened(settings)
    whole, without = embed_without(model, settings, tracklets, device=CPU)
    assert list(without) == ["LSTM_mot", "A (Eq. 12)"]
    assert np.allclose(whole.vectors, literal(model, settings, tracklets, None), atol=1e-5)
    for part, embeddings in without.items():
        assert np.allclose(embeddings.vectors, literal(model, settings, tracklets, part), atol=1e-5), part
        assert np.abs(embeddings.vectors - whole.vectors).max() > 1e-3, part  # the knock-out is felt
        assert list(embeddings.pids) == [t.pid for t in tracklets] == list(whole.pids)


def test_as_it_is_the_embedding_is_the_embedders_to_the_bit(tracklets):
    settings = settings_with("model.embedding=both")
    model = opened(settings)
    whole, _ = embed_without(model, settings, tracklets, device=CPU)
    assert np.array_equal(whole.vectors, Embedder(model, settings, device="cpu").embed(tracklets).vectors)
    assert not any(part._forward_hooks for part in model.modules())


def test_too_much_to_keep_is_embedded_again_and_gives_the_same(tracklets):
    settings = settings_with()
    model = opened(settings)
    kept = embed_without(model, settings, tracklets, device=CPU)[1]
    again = embed_without(model, settings, tracklets, device=CPU, most_bytes=5000)[1]
    for part in kept:
        assert np.array_equal(kept[part].vectors, again[part].vectors)


def test_a_part_that_gives_every_clip_the_same_is_not_missed(tracklets):
    settings = settings_with()
    model = opened(settings)
    with torch.no_grad():  # all gates of LSTM_mot shut: its output is 0
        for name, parameter in model.guidance.motion_lstm.named_parameters():
            parameter.fill_(-100.0 if name == "bias_ih_l0" else 0.0)
    whole, without = embed_without(model, settings, tracklets, device=CPU)
    assert np.allclose(without["LSTM_mot"].vectors, whole.vectors, atol=1e-6)
    assert not np.allclose(without["A (Eq. 12)"].vectors, whole.vectors, atol=1e-4)


@pytest.mark.parametrize(
    ("sequence", "parts"),
    [("temporal", ["LSTM_mot"]), ("no_spatial", ["LSTM_mot", "A (Eq. 12)"]), ("pooled_mean", ["pooled head"])],
)
def test_each_form_is_without_the_parts_that_it_has(sequence, parts, tracklets):
    settings = settings_with(f"model.sequence={sequence}")
    whole, without = embed_without(opened(settings), settings, tracklets, device=CPU)
    assert list(without) == parts
    assert all(np.abs(one.vectors - whole.vectors).max() > 1e-6 for one in without.values())


def test_mitmls_memory_and_guides(tracklets):
    """A guide that serves several frames of a clip has a mean for each."""
    overrides = ["data.frames_per_clip=3", "model.options={frame_guides: 1}"]
    overrides += ["model.backbone=resnet26", "model.weights=null"]
    settings = load_settings("mitml-small", overrides=overrides)
    settings = settings.model_copy(update={"model": settings.model.model_copy(update={"width": 0.125})})
    model = opened(settings)
    assert isinstance(model, MITML)
    visible = [t for t in tracklets if t.modality == "visible"]
    whole, without = embed_without(model, settings, visible, device=CPU)
    assert list(without) == ["memory", "guides"]
    with torch.no_grad():
        halves = []
        for tracklet in visible:
            clip = ClipReader.of(settings.data, n_frames=3).read(tracklet).clip
            pixels = normalise(torch.from_numpy(clip.frames)[None], **settings.data.normalisation)
            halves.append(model.halves(model.maps_to_pool(pixels, "visible")[0], 3))
        guides = []
        for _, time in halves:
            told = model.memory(time)[0][:, -1]
            guides.append(np.stack([model.guides[0](told, time[:, i])[0].numpy() for i in range(3)]))
        g = oracle.mean_over_clips(guides)
        for row, (appearance, _) in enumerate(halves):
            pooled = torch.tensor((appearance[0].numpy() * (1 + g)).mean(axis=0), dtype=torch.float32)
            vector = unit(unit(model.neck(pooled[None])[0].numpy()) - model.centre_visible.numpy())
            assert np.allclose(without["guides"].vectors[row], vector, atol=1e-5)
    assert np.abs(without["memory"].vectors - whole.vectors).max() > 1e-6


def test_unreadable_tracklets_are_left_out_everywhere_alike(tracklets, tmp_path):
    broken = tmp_path / "no.jpg"
    broken.write_bytes(b"")
    gone = Tracklet((broken,), 9, 1, "visible", "gone")
    settings = settings_with()
    some = [*tracklets[:3], gone, *tracklets[3:]]
    whole, without = embed_without(opened(settings), settings, some, device=CPU, on_bad_frame="skip")
    alone, expected = embed_without(opened(settings), settings, tracklets, device=CPU)
    assert list(whole.sources) == list(alone.sources)
    for part in without:
        assert np.allclose(without[part].vectors, expected[part].vectors, atol=1e-6)
