"""Two pairs that the tests of show share."""

import pyarrow as pa
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers


@pytest.fixture(scope="module")
def tokenizer():
    """An id a byte."""
    vocab = {token: at for at, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@pytest.fixture
def folder(tmp_path, rewards_of, write_rewards, tokenizer):
    """Two pairs: `héy\n` against `no`, and `a` against `b`, with side columns of awkward names."""
    texts = [("héy\n", "no"), ("a", "b")]
    rewards = [([3.0, 0.0, 1.0, -2.0, 1.0], [0.5, -4.0]), ([0.0], [0.0])]
    table = rewards_of(rewards)
    for number, side in enumerate(("chosen", "rejected")):
        at = table.schema.get_field_index(f"{side}_ids")
        ids = [tokenizer.encode(pair[number]).ids for pair in texts]
        table = table.set_column(at, table.schema.field(at), pa.array(ids, type=table.schema.field(at).type))
    table = table.append_column("row", pa.array([7, 8])).append_column("reward", pa.array(["x", "y"]))
    write_rewards(tmp_path / "rewards", [table.slice(0, 1), table.slice(1, 1)], tokenizer=tokenizer.to_str())
    return tmp_path / "rewards"
