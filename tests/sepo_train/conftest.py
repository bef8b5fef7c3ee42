"""Random models, random trees, and the loop that anyone can read."""

import copy
import gc
import json
import os
import subprocess
import sys

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from sepo_train.layout import Tree

VOCABULARY = 97
IDS = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


@pytest.fixture(scope="module", autouse=True)
def threads():
    # Threads only get into each other's way on models as small as these.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    # Looking for garbage among what was imported takes longer than using a tiny model, and each release of one looks.
    gc.freeze()
    yield
    gc.unfreeze()
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def random_model():
    """Make a model of a type from the options of its configuration."""

    def make(kind, *, attention=None, **options):
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, **IDS, **options)
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
        for parameter in model.parameters():
            if parameter.dim() > 1:
                # Freshly made models are close to uniform, which hides mistakes.
                parameter.data.normal_(0, 0.2)
        return model

    return make


@pytest.fixture(scope="session")
def llama_like(random_model):
    """Make a model of a type whose configuration names things as Llama's does."""
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    return lambda kind="llama", **options: random_model(kind, **sizes | options)


@pytest.fixture
def llama(llama_like):
    return llama_like()


@pytest.fixture(scope="session")
def random_trees():
    """Make trees from the lengths of the prompt and the responses of each."""

    def make(*lengths):
        generator = torch.Generator().manual_seed(0)

        def ids(length):
            return torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()

        return [Tree(ids(prompt), tuple(map(ids, responses))) for prompt, *responses in lengths]

    return make


def _plain_logps(model, prompt, response):
    """One sequence, all logits, a log-softmax in double precision: value i is log p of token i of the response."""
    ids = [*prompt, *response]
    logps = model(input_ids=torch.tensor([ids[:-1]]), use_cache=False).logits[0].double().log_softmax(dim=-1)
    return torch.stack([logps[place - 1, ids[place]] for place in range(len(prompt), len(ids))])


@pytest.fixture(scope="session")
def plain_tree():
    """The wanted tokens of every response of a tree, one sequence at a time."""

    def plain(model, tree):
        return [
            _plain_logps(model, tree.prompt_ids, response)[tree.wanted(branch)]
            for branch, response in enumerate(tree.responses)
        ]

    return plain


@pytest.fixture(scope="session")
def largest_difference(plain_tree):
    """How far scores are from the plain loop over the same model in double precision."""

    def difference(scores, model, trees):
        exact = copy.deepcopy(model).double()
        # The fused product of experts knows no double precision.
        exact.set_experts_implementation("eager")
        with torch.no_grad():
            pairs = zip(scores, [plain_tree(exact, tree) for tree in trees], strict=True)
        return max(float((a - b).abs().max()) for ours, plain in pairs for a, b in zip(ours, plain, strict=True))

    return difference


SERVER = """
import gc, json, os, signal, sys
import pandas, cli, sepo_data.info, sepo_data.terminal, sepo_train.score
from sepo_train.models import load_model
load_model(sys.argv[1], dtype="float32")
gc.collect()
gc.freeze()  # collecting what was imported takes longer than scoring with a tiny model
print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if "wait" in request:
        print(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    signal.alarm(100)  # a process that hangs ends, and the test with it
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.dup2(os.open(request[name], os.O_RDWR | os.O_CREAT | os.O_APPEND), number)
    os.chdir(request["cwd"])
    os.environ.update(request["environment"])
    sys.argv = ["sepo", *request["arguments"]]
    exec(request["before"], {})
    cli.main()
"""


class Running:
    """A `sepo` process that the server started."""

    def __init__(self, server, folder, pid):
        self._server, self._folder, self.pid = server, folder, pid

    @property
    def stderr(self):
        return (self._folder / "stderr").read_text(encoding="utf-8")

    @property
    def stdout(self):
        return (self._folder / "stdout").read_text(encoding="utf-8")

    def wait(self):
        return int(self._server.ask({"wait": self.pid}))


class SepoServer:
    """Starts real `sepo` processes without waiting for their imports: each is forked from one that has imported."""

    def __init__(self, environment, model, folder):
        self._folder, self._started = folder, 0
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(model)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n"

    def ask(self, request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def start(self, *arguments, before="", **environment):
        """Start `sepo` with these arguments, once the code `before` has been executed in it."""
        self._started += 1
        folder = self._folder / str(self._started)
        folder.mkdir()
        streams = {"stdin": os.devnull, "stdout": str(folder / "stdout"), "stderr": str(folder / "stderr")}
        for name in ("stdout", "stderr"):
            (folder / name).touch()
        pid = self.ask(
            streams
            | {
                "arguments": [str(part) for part in arguments],
                "cwd": str(folder),
                "before": before,
                "environment": environment,
            }
        )
        return Running(self, folder, int(pid))

    def run(self, *arguments, before="", **environment):
        """The exit code (negative for a signal), standard output and standard error."""
        running = self.start(*arguments, before=before, **environment)
        return running.wait(), running.stdout, running.stderr

    def stop(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


@pytest.fixture(scope="session")
def sepo_environment(tmp_path_factory):
    """The caller's, without what steers sepo or says that it is one of several processes."""
    steering = ("SEPO_", "HF_", "TQDM_", "PYTHON", "RAY_", "FORCE_COLOR", "RANK", "WORLD_SIZE", "LOCAL_RANK")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    home = str(tmp_path_factory.mktemp("home"))
    switches = dict.fromkeys(("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE", "OMP_NUM_THREADS"), "1")
    return kept | switches | {"HF_HOME": home, "SEPO_CACHE": home}


@pytest.fixture(scope="session")
def sepo_server(sepo_environment, tiny_models, tmp_path_factory):
    server = SepoServer(sepo_environment, tiny_models["ref"], tmp_path_factory.mktemp("processes"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def twelve_pairs(tmp_path_factory):
    """12 rows, the eighth of which has no answer."""
    drinks = ["tea", "coffee", "milk", "water", "juice"]
    rows = [
        {
            "prompt": f"Shall I have {drinks[number % 5]} or soup, option {number}?",
            "chosen": f" Take the {drinks[number % 5]}." + " It is a lovely one." * (number % 4),
            "rejected": " Soup." + " No, never." * (number % 5) if number != 7 else None,
        }
        for number in range(12)
    ]
    file = tmp_path_factory.mktemp("twelve") / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def score_six(twelve_pairs, tiny_models):
    """`sepo score` of `twelve_pairs` in six shards, without --out."""
    models = [f"--{role}={folder}" for role, folder in tiny_models.items()]
    return ["score", str(twelve_pairs), *models, "--shard-rows=2", "--max-skipped=1", "--resident=both"]


@pytest.fixture(scope="session")
def six_shards(sepo_server, score_six, tmp_path_factory):
    """What `score_six` writes when nobody disturbs it."""
    out = tmp_path_factory.mktemp("six") / "rewards"
    assert sepo_server.run(*score_six, "--out", out)[0] == 0
    return out


@pytest.fixture(scope="session")
def everything():
    """All files of a rewards directory by name; of the manifest, what does not tell the time."""

    def read(folder):
        files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        manifest = json.loads(files.pop("sepo.json"))
        for name in ("created", "seconds"):
            manifest.pop(name)
        return files | {"sepo.json": manifest}

    return read
