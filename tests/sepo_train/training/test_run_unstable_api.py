"""Private names of transformers that a training run depends on."""

import pytest
from transformers import AutoConfig, AutoModelForCausalLM, TrainingArguments
from transformers.integrations.integration_utils import get_available_reporting_integrations

from sepo_train.training.run import _arguments
from sepo_train.training.settings import Training

pytestmark = pytest.mark.unstable_api


def test_one_accelerator_a_process(tmp_path, monkeypatch):
    """On a machine with several, transformers would wrap the model into nn.DataParallel and scatter a layout."""
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    arguments._n_gpu = 4
    assert arguments.n_gpu == 4, "_n_gpu is what n_gpu returns"
    assert _arguments(Training(), tmp_path, evaluates=False, evaluates_first=False).n_gpu <= 1
    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda _: 4))
    with pytest.raises(RuntimeError, match="several accelerators in one process"):
        _arguments(Training(), tmp_path, evaluates=False, evaluates_first=False)


@pytest.mark.parametrize("tied", [False, True])
def test_tied_weights_have_names(tied):
    """Weights that processes share are gathered under each of their names; a checkpoint has them once."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = AutoConfig.for_model("llama", vocab_size=16, tie_word_embeddings=tied, pad_token_id=0, **sizes)
    model = AutoModelForCausalLM.from_config(config)
    assert list(model.all_tied_weights_keys) == (["lm_head.weight"] if tied else [])


def test_loggers_have_names():
    names = get_available_reporting_integrations()
    assert isinstance(names, list)
    assert all(isinstance(name, str) for name in names)
