"""Causal language models of Hugging Face as models: tiny ones with random weights, made from a config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
from command_lines import refused

import worldbench as wb
from worldbench.baselines.callable import CallableModel
from worldbench.core.errors import InputError
from worldbench.core.model import log_softmax

transformers: Any = pytest.importorskip("transformers", reason="needs the optional package transformers")
torch: Any = pytest.importorskip("torch")

MAZE = wb.world("maze", **tiny_runs.TINY_WORLDS["maze"])
"""A world whose prompts have different lengths."""
SIZE = len(MAZE.vocabulary)
DOCUMENTS = MAZE.sample(0, "test", 0, 12)
MORE = 5
"""Ids of the larger models that are no word of the world."""


def network(kind: str = "llama", size: int = SIZE, **changes: Any) -> Any:
    """A network with large random weights, so that its predictions differ from token to token."""
    small = {"llama": {"hidden_size": 16, "intermediate_size": 32}, "gpt2": {"n_embd": 16}}[kind]
    config = transformers.AutoConfig.for_model(
        {"llama": "llama", "gpt2": "gpt2"}[kind], vocab_size=size, num_hidden_layers=2, num_attention_heads=2,
        bos_token_id=None, eos_token_id=None, **{**small, **changes},
    )  # fmt: skip
    made, generator = transformers.AutoModelForCausalLM.from_config(config), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return made.eval()


def laws(decoder: Any, following: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """What a decoder predicts before and after tokens, with a choice of rows between them."""
    first = [decoder.logits[:, None], decoder.extend(following[:, :2])]
    decoder.select(rows)
    second = [decoder.extend(following[rows, 2:3]), decoder.extend(following[rows, 3:])]
    return np.concatenate([log_softmax(np.concatenate(parts, axis=1)).ravel() for parts in (first, second)])


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_law_is_that_of_the_network(kind: str) -> None:
    own = network(kind)
    model = wb.hugging_face(own, MAZE)
    with torch.no_grad():
        ids = torch.from_numpy(DOCUMENTS.inputs.astype(np.int64))
        expected = own(input_ids=ids, output_hidden_states=True)
    assert np.array_equal(model.logits(DOCUMENTS.inputs), expected.logits.numpy())
    layers = model.layers(DOCUMENTS.inputs)
    assert list(layers) == ["embedding", "block 1", "input of the head"]
    assert all(np.array_equal(mine, h.numpy()) for mine, h in zip(layers.values(), expected.hidden_states))
    head = own.get_output_embeddings()(torch.from_numpy(model.hidden(DOCUMENTS.inputs))).detach().numpy()
    assert np.allclose(head, expected.logits.numpy(), atol=1e-5)  # the last layer is what the head reads


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("rows", [None, 3])
def test_cached_decoding_and_limits_change_nothing(kind: str, rows: int | None) -> None:
    """Against decoding without a cache and without a limit; prompts of different lengths, rows repeated and left
    out."""
    own = network(kind)
    model, whole = wb.hugging_face(own, MAZE, batch_limit=rows), wb.hugging_face(own, MAZE)
    called: list[int] = []
    own.register_forward_pre_hook(lambda _, __, given: called.append(len(given["input_ids"])), with_kwargs=True)
    lengths = 1 + np.arange(12) % 4
    following = DOCUMENTS.tokens[:, 4:9]
    chosen = np.array([7, 0, 0, 11, 3, 3, 3, 3, 5])
    assert model.cached
    cached = laws(model.decoder(DOCUMENTS.tokens, lengths), following, chosen)
    few = model.logits(DOCUMENTS.inputs)
    assert max(called) == (rows or 12)
    plain = laws(CallableModel.decoder(whole, DOCUMENTS.tokens, lengths), following, chosen)
    assert np.abs(np.exp(cached) - np.exp(plain)).max() < 1e-5
    assert np.abs(few - whole.logits(DOCUMENTS.inputs)).max() < 1e-4
    assert np.ptp(plain) > 1  # the predictions are not all alike


def test_words_become_ids(tmp_path: Path) -> None:
    """Ids in another order, among ids that are no word: the same law as of a network with the rows moved back."""
    small, large = network(), network(size=SIZE + MORE)
    place = np.random.default_rng(0).permutation(SIZE + MORE)[:SIZE]
    for name in ("model.embed_tokens", "lm_head"):
        with torch.no_grad():
            large.get_submodule(name).weight[place] = small.get_submodule(name).weight
    for name, value in small.state_dict().items():
        if "embed_tokens" not in name and "lm_head" not in name:
            large.state_dict()[name].copy_(value)
    pad, inside = MAZE.vocabulary.pad, DOCUMENTS.inputs != MAZE.vocabulary.pad
    mapping = {word: int(id) for word, id in zip(MAZE.vocabulary.words, place)}
    same = wb.hugging_face(small, MAZE).logits(DOCUMENTS.inputs)
    mapped = wb.hugging_face(large, MAZE, tokens=mapping)
    assert np.allclose(mapped.logits(DOCUMENTS.inputs)[inside], same[inside], atol=1e-5)
    del mapping[MAZE.vocabulary.words[pad]]  # padding needs no id
    without = wb.hugging_face(large, MAZE, tokens=mapping)
    found = without.logits(DOCUMENTS.inputs)[inside]
    assert np.isneginf(found[:, pad]).all()
    assert np.allclose(np.delete(found, pad, 1), np.delete(same[inside], pad, 1), atol=1e-5)
    assert "ids that are no word of the world" in " ".join(mapped.remarks)
    folder = saved(large, tmp_path, {f"<{word}>": id for word, id in mapping.items()})
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps({word: f"<{word}>" for word in mapping}))
    read = wb.hugging_face(folder, MAZE, tokens=file, device="cpu")
    assert np.array_equal(read.logits(DOCUMENTS.inputs)[inside], found)
    assert read.words == ("--hf", "saved", "--tokens", "tokens.json")


def saved(own: Any, folder: Path, tokens: dict[str, int] | None = None) -> Path:
    """The folder of a network, with a tokenizer of these tokens."""
    own.save_pretrained(folder / "saved")
    if tokens is not None:
        from tokenizers import Tokenizer, models

        free = next(id for id in range(SIZE + MORE) if id not in tokens.values())
        model = models.WordLevel({**tokens, "<unk>": free}, unk_token="<unk>")
        Tokenizer(model).save(str(folder / "saved" / "tokenizer.json"))
    return folder / "saved"


WORD, OTHER = (MAZE.vocabulary.words[place] for place in MAZE.vocabulary.actions[:2])
ALL = {word: number for number, word in enumerate(MAZE.vocabulary.words)}


@pytest.mark.parametrize(
    ("size", "tokens", "said"),
    [
        (SIZE + 1, None, f"the model has {SIZE + 1} ids and the world {SIZE} words"),
        (SIZE, "words", "the model has no tokenizer (tokenizer.json)"),
        (SIZE, "wrods", "--tokens takes ids, words or a JSON file, and there is no file 'wrods'"),
        (SIZE, {WORD: 1}, "is not in the mapping of tokens"),
        (SIZE, {**ALL, WORD: ALL[OTHER]}, "have the same id"),
        (SIZE, {**ALL, WORD: SIZE}, f"to the id {SIZE}, and the model has the ids 0 to {SIZE - 1}"),
        (SIZE, {**ALL, WORD: -1}, "to the id -1"),
        (SIZE, {**ALL, WORD: True}, f"the word {WORD!r} of the world is mapped to True; give an id or a token"),
        (SIZE, {**ALL, WORD: "</s>"}, "is mapped to the token '</s>', and the model has no tokenizer"),
        (SIZE, {**ALL, "not a word": 3}, "names 'not a word', which is no word of the world"),
        (SIZE, {3: 4}, "the mapping of tokens must be a JSON object"),
    ],
)
def test_words_without_ids_are_refused(size: int, tokens: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        wb.hugging_face(network(size=size), MAZE, tokens=tokens)
    assert said in str(caught.value)


def test_folders_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("score", "maze", "--env.rows", "4", "--env.columns", "4", "--out", str(tmp_path / "runs"), "--hf")
    assert "there is no such folder; a model" in refused(capsys, *command, str(tmp_path / "no"))
    assert "run `hf download nobody/nothing-here` first" in refused(capsys, *command, "nobody/nothing-here")
    assert "has no config.json" in refused(capsys, *command, str(tmp_path))
    folder = saved(network(), tmp_path)
    weights = next(folder.glob("*.safetensors"))
    raw = weights.read_bytes()
    weights.write_bytes(raw[:200])
    assert "cannot be read as a causal language model" in refused(capsys, *command, str(folder))
    weights.rename(folder / "pytorch_model.bin")
    assert "has no *.safetensors file" in refused(capsys, *command, str(folder))
    from safetensors.numpy import load, save

    tensors = load(raw)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    weights.write_bytes(save(tensors, {"format": "pt"}))
    said = refused(capsys, *command, str(folder))
    assert "1 of the weights are missing, such as model.layers.1.mlp.up_proj.weight" in said
    weights.write_bytes(raw)
    assert "is for a model of --hf" in refused(capsys, "score", "maze", "--callable", "f.py:f", "--tokens", "ids")
    assert "give one of them, not both" in refused(capsys, *command, str(folder), "--callable", "f.py:f")
    assert "--device must be one of auto, cpu, cuda" in refused(capsys, *command, str(folder), "--device", "tpu")
    short = saved(network("gpt2", n_positions=4), tmp_path)
    assert "reads at most 4 tokens (max_position_embeddings)" in refused(capsys, *command, str(short))


def test_a_network_that_reads_later_tokens_is_refused(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=SIZE, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        initializer_range=1.0,
    )  # fmt: skip
    model = wb.hugging_face(transformers.BertLMHeadModel(config), MAZE)
    assert not model.cached
    with pytest.raises(InputError, match="reads later tokens"):
        wb.score(MAZE, model, metrics=["next_token"], out=tmp_path)


def test_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line and Python write the same bytes; hidden states are scored beside an untrained network; the same
    command does nothing again; other weights have another folder."""
    tiny_runs.draw_nothing(monkeypatch)
    world = wb.world("hmm", **tiny_runs.TINY_WORLDS["hmm"])
    folder = saved(network(size=len(world.vocabulary)), tmp_path)
    few = {"documents": 12, "rank_tokens": 30}
    metrics = ["next_token", "effective_rank"]
    run = wb.score(world, wb.hugging_face(folder, world), metrics=metrics, eval=few, out=tmp_path / "api")
    argv = ["score", "hmm", "--hf", str(folder), "--env.process", "mess3", "--env.length", "6", "--eval.metrics"]
    argv += [*metrics, *(word for name, value in few.items() for word in (f"--eval.{name}", str(value)))]
    assert tiny_runs.call(*argv, "--out", str(tmp_path / "line"))[0] == 0
    assert tiny_runs.tree(tmp_path / "api") == tiny_runs.tree(tmp_path / "line")
    record = run.record
    assert record.model.name == "hf:saved"
    assert record.command.startswith("worldbench score hmm --hf saved --preset ")
    assert str(tmp_path) not in run.file.read_text()
    assert record.scores["effective_rank"].value("rank_untrained") is not None
    capsys.readouterr()
    code, said = tiny_runs.call(*argv, "--out", str(tmp_path / "line"))
    assert (code, "done already" in said) == (0, True)
    saved(network("gpt2", size=len(world.vocabulary)), tmp_path)
    assert tiny_runs.call(*argv, "--out", str(tmp_path / "line"))[0] == 0
    assert len(list((tmp_path / "line").glob("hmm-hf-*"))) == 2


def test_an_untrained_network_has_its_own_weights_and_no_global_seed() -> None:
    model = wb.hugging_face(network(), MAZE)
    before = torch.get_rng_state()
    one, again, other = (model.untrained(seed).logits(DOCUMENTS.inputs) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(one, again)
    assert not np.allclose(one, other)
