"""The tiny executor behind a llama.cpp server against the same model in this process, on the sample groups.

    python -m venv llama && llama/bin/pip install "llama-cpp-python[server]"    # builds llama.cpp, minutes
    pip install gguf
    python tests/benchmarks/llama_cpp.py --server-python llama/bin/python [--problems 20] [--runs 8]

The executor's weights and tokenizer are written as a GGUF file in float32, so that what differs is the engine. First,
that both read the same: prompt lengths and greedy answers, prompt by prompt. Then two whole `uplift` runs with equal
sampling. The table is Markdown; it counts traces whose intervals have no value in common.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from rm.cli.main import main as tracelift
from rm.lab import SAMPLE_DEV, TINY_EXECUTOR
from rm.sources import find_source
from rm.text.tokenizer import load_tokenizer
from rm.uplift.prompts import executor_prompt
from rm.uplift.read import load_problems

START_SECONDS = 120
BASELINE_RUNS = 16
SPLITS_LIKE = "smollm"
"""The pre-tokenizer of llama.cpp that takes digits one by one and then splits as GPT-2 does, like `rm.lab.tokens`."""


def write_gguf(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """A Qwen2-shaped model with tied embeddings, and its byte-level BPE."""
    config = model.config
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_name("tiny executor")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    _add_tokenizer(writer, tokenizer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config.num_hidden_layers)
    for name, value in model.state_dict().items():
        if name != "lm_head.weight":  # tied
            writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), value.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerBase) -> None:
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    added = {token["id"]: token for token in content["added_tokens"]}
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)  # type: ignore[arg-type]
    kinds = [gguf.TokenType.NORMAL] * len(tokens)
    for number, token in added.items():
        kinds[number] = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(SPLITS_LIKE)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in content["model"]["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)


@contextlib.contextmanager
def served(python: str, model: Path, log: Path) -> Iterator[str]:
    """The address of a llama.cpp server, up while inside."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--model", model, "--host", "127.0.0.1", "--port", port, "--n_ctx", "2048", "--n_threads", "1"]
    with log.open("wb") as out:
        server = subprocess.Popen([python, "-m", "llama_cpp.server", *map(str, options)], stdout=out, stderr=out)
        try:
            _wait(f"http://127.0.0.1:{port}/v1", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait()


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(f"{address}/models"):
            return
        time.sleep(0.2)
    raise SystemExit(f"The server did not start:\n{log.read_text(errors='replace')[-3000:]}")


def compared(
    address: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, problems: int
) -> tuple[int, int]:
    """(greedy answers that are the same, of how many). Raises: RuntimeError for a prompt that is read otherwise."""
    same = total = 0
    for problem in load_problems([str(SAMPLE_DEV)], limit=problems):
        for reasoning in (None, *(trace.reasoning for trace in problem.traces)):
            text = executor_prompt(problem, reasoning).text
            body = {"prompt": text, "temperature": 0, "max_tokens": 12, "model": "tiny"}
            question = urllib.request.Request(
                f"{address}/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(question) as reply:
                there = json.load(reply)
            ids = tokenizer(text, return_tensors="pt")["input_ids"]
            if there["usage"]["prompt_tokens"] != ids.shape[1]:
                raise RuntimeError(f"{there['usage']['prompt_tokens']} tokens, expected {ids.shape[1]}: {text}")
            made = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12)
            same += tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True) == there["choices"][0]["text"]
            total += 1
    return same, total


def run(out: Path, problems: int, runs: int, *executor: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(rows, summary) of a whole run."""
    plan = ["--plan.kind", "sampled", "--plan.runs", runs, "--plan.baseline_runs", BASELINE_RUNS]
    rest = ["--sampling.max_tokens", 12, "--cache", "none", "--limit", problems, "--out", out, "--json"]
    with contextlib.redirect_stdout(sys.stderr):
        code = tracelift(["uplift", str(SAMPLE_DEV), *map(str, (*executor, *plan, *rest))])
    if code:
        raise SystemExit(code)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return rows, json.loads(out.with_suffix(".summary.json").read_text(encoding="utf-8"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server-python", required=True, help="an interpreter that has llama-cpp-python[server]")
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--runs", type=int, default=8)
    args = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(TINY_EXECUTOR, dtype=torch.float32).eval()
    tokenizer = load_tokenizer(find_source(str(TINY_EXECUTOR), "the tiny executor"))
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        write_gguf(model, tokenizer, here / "tiny.gguf")
        with served(args.server_python, here / "tiny.gguf", here / "log.txt") as address:
            same, total = compared(address, model, tokenizer, args.problems)
            server = ["--executor.kind", "openai", "--executor.endpoints", address, "--executor.model", "tiny"]
            plain = ["--executor.extra_body", '{"top_k": 0, "min_p": 0.0}', "--executor.concurrency", 2]
            there, its = run(here / "there.jsonl", args.problems, args.runs, *server, *plain)
        local = ["--executor.kind", "transformers", "--executor.path", "tiny", "--executor.dtype", "float32"]
        ours, own = run(here / "ours.jsonl", args.problems, args.runs, *local)
    apart = sum(a["low"] > b["high"] or b["low"] > a["high"] for a, b in zip(there, ours, strict=True))
    print(f"Greedy answers the same: {same} of {total}. Traces whose intervals do not meet: {apart} of {len(ours)}.\n")
    print("| executor | baseline | positives | negatives | mean difference of values | samples a second |")
    print("|---|---|---|---|---|---|")
    off = np.mean([a["value"] - b["value"] for a, b in zip(there, ours, strict=True)])
    for name, found, shift in (("llama.cpp server", its, f"{off:+.3f}"), ("in this process", own, "")):
        rates = " | ".join(f"{found[part]['mean']:.3f}" for part in ("baseline", "positives", "negatives"))
        print(f"| {name} | {rates} | {shift} | {found['cost']['samples_per_second']:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
