"""Every call of a library that can run code of a model says whether it may, or stands here with the reason."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*sorted((ROOT / "sepo_data").rglob("*.py")), *sorted((ROOT / "sepo_train").rglob("*.py"))]

LOADS = {
    "from_pretrained",
    "from_config",
    "load_adapter",
    "load_dataset",
    "load_dataset_builder",
    "load_from_disk",
    "for_model",
    "pipeline",
}

CANNOT = {
    ("sepo_data/readers/hub_reader.py", "load_dataset_builder"): "datasets 5 runs no script",
    ("sepo_data/readers/hub_reader.py", "load_from_disk"): "it maps Arrow files",
    ("sepo_train/models/adapted.py", "PeftConfig.from_pretrained"): "after check_adapter_code",
    ("sepo_train/models/load.py", "AutoHfQuantizer.from_config"): "methods of transformers' own, by name",
}
"""Calls that cannot run code of a model."""

PICKLES = {"torch.load", "pickle.load", "pickle.loads", "np.load", "numpy.load", "joblib.load", "dill.load"}


def calls():
    """Every call: its file, the names of what is called, and its keywords."""
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
                yield file.relative_to(ROOT).as_posix(), ast.unparse(node.func), {key.arg for key in node.keywords}


def test_every_call_that_loads_says_whether_code_may_run():
    asked, excused = [], Counter()
    for file, called, keywords in calls():
        name = called.rpartition(".")[2]
        if name not in LOADS or "trust_remote_code" in keywords:
            continue
        if reasons := [key for key in CANNOT if key[0] == file and key[1] in {name, called}]:
            excused.update(reasons)
        else:
            asked.append((file, called))
    assert asked == [], "pass trust_remote_code"
    assert set(CANNOT) == set(excused), "a reason for a call that is no longer there"


def test_models_are_loaded_from_safetensors_alone():
    loaders = [each for each in calls() if "AutoModel" in each[1] or each[1].startswith("auto_class")]
    unsafe = [each for each in loaders if each[1].endswith("from_pretrained") and "use_safetensors" not in each[2]]
    assert len(loaders) > 1
    assert unsafe == []


def test_nothing_is_unpickled():
    assert [each for each in calls() if each[1] in PICKLES and "weights_only" not in each[2]] == []
