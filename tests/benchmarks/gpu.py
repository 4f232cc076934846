"""What a GPU makes of training, and whether it makes the same: `make bench-gpu`.

First it checks: a step against the CPU in double precision, steps by CUDA graphs against the same ones called, two
processes against one. Then it measures, in batches of 2,048 to 65,536 tokens and networks of 256 to 1,024 units. Prints
a table and one line of JSON; without a GPU it ends with one line. `--tiny` runs all of it on a CPU in seconds, with
networks that say nothing about speed: so that the day a card is there, the command works.
"""

import argparse
import copy
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from model.config import ModelConfig
from model.dropout import DropoutNoise
from model.seq2seq import Batch, Seq2Seq
from pipeline.training.worker import use_threads
from tests.benchmarks import gpu_processes
from tests.benchmarks.gpu_rates import Measured, measured, memory, top_kernels
from tests.benchmarks.training import DEVICE, make_shares

Figures = dict[str, float | str]
GNMT = 141_000
"""Source and target tokens/s of NVIDIA's GNMT v2 on one A100, mixed precision, four layers of 1,024 without input
feeding (DeepLearningExamples, PyTorch/Translation/GNMT)."""
WARM_UP, WINDOWS = 5, 5
"""Windows: graphs are recorded in the first ones."""


@dataclass(frozen=True)
class Plan:
    """How large everything is."""

    networks: tuple[dict[str, int], ...]
    """Units, layers, pieces."""
    tokens: tuple[int, ...]
    batches: int
    pieces: int


FULL = Plan(
    (
        {"units": 256, "layers": 1, "pieces": 8000},
        {"units": 512, "layers": 1, "pieces": 8000},
        {"units": 1024, "layers": 4, "pieces": 32_000},
    ),
    (2048, 16_384, 65_536),
    batches=8,
    pieces=8000,
)
TINY = Plan(({"units": 16, "layers": 2, "pieces": 50},), (256,), batches=2, pieces=50)


def network_of(units: int, **options: object) -> ModelConfig:
    """Return a network like that of model/README.md, with so many units everywhere."""
    sizes = {"embedding_size": units, "encoder_size": units // 2, "decoder_size": units}
    return ModelConfig.model_validate(sizes | options)


ARCHITECTURES: dict[str, dict[str, object]] = {
    "LSTM, general, input feeding": {"layers": 2},
    "LSTM, concat, input feeding, bridge concat": {"attention": "concat", "bridge": "concat"},
    "GRU, concat, Bahdanau": {"cell": "gru", "attention": "concat", "decoder": "bahdanau", "input_feeding": False},
    "LSTM, no attention": {"attention": "none", "input_feeding": False},
}


def against_double(plan: Plan) -> Figures:
    """Return the largest error of a gradient, as a share of the largest gradient of its weight, by architecture."""
    figures: Figures = {}
    (share,) = make_shares(plan.tokens[0], plan.pieces, batches=1)
    for name, options in ARCHITECTURES.items():
        torch.manual_seed(1)
        network = Seq2Seq(network_of(32 if plan is TINY else 256, **options), plan.pieces, plan.pieces)
        reference = copy.deepcopy(network).double()
        pairs = zip(
            _gradients(network.to(DEVICE), share.batch, share.rows),
            _gradients(reference, _on_cpu(share.batch), share.rows.cpu()),
            strict=True,
        )
        errors = [
            (found.cpu().double() - true).abs().max() / true.abs().max().clamp(min=1e-30) for found, true in pairs
        ]
        figures[f"{name}: error against double"] = float(max(errors))
    return figures


def _gradients(network: Seq2Seq, batch: Batch, rows_B: Tensor) -> list[Tensor]:
    """Return the loss of a batch with dropout, and its gradients."""
    noise = DropoutNoise(0.3, 1, 7, rows_B, network.mask_units)
    loss = network(batch, noise, label_smoothing=0.1)
    loss.smoothed.backward()
    return [loss.smoothed.detach(), *(p.grad for p in network.parameters() if p.grad is not None)]


def _on_cpu(batch: Batch) -> Batch:
    return Batch(batch.source_BS.cpu(), batch.source_lengths_B.cpu(), batch.target_BT.cpu())


def graphs_against_calls(plan: Plan) -> Figures:
    """Return how far apart weights are after the same steps by graphs and by calls, as a share of the largest."""
    weights, notes = [], ""
    for graphs in (False, True):
        config = network_of(plan.networks[0]["units"], layers=2)
        run = measured(config, plan.tokens[0], plan.pieces, batches=2, graphs=graphs)
        for _ in range(WARM_UP):
            run.window()
        assert run.trainer is not None
        weights.append([parameter.detach().clone() for parameter in run.trainer.model.parameters()])
        notes = run.graphs
    differences = [(one - other).abs().max() / one.abs().max() for one, other in zip(*weights, strict=True)]
    return {"graphs": notes, "graphs against calls: largest difference of a weight": float(max(differences))}


def rates(plan: Plan) -> Iterator[tuple[str, Callable[[], Figures]]]:
    """Yield the measurements of every network at every size of batch, by name."""
    for sizes in plan.networks:
        config, pieces = network_of(sizes["units"], layers=sizes["layers"]), sizes["pieces"]
        layers = f"{sizes['layers']} layers" if sizes["layers"] > 1 else "1 layer"
        for tokens in plan.tokens:
            name = f"{sizes['units']:,} units, {layers}, {pieces:,} pieces, {tokens:,} tokens"
            yield (
                name,
                lambda config=config, tokens=tokens, pieces=pieces: _rate(  # type: ignore[misc]
                    measured(config, tokens, pieces, plan.batches)
                ),
            )


def _rate(run: Measured) -> Figures:
    seconds = run.seconds(WARM_UP, WINDOWS)
    return {
        "source and target tokens/s": run.tokens / seconds,
        "target tokens/s": run.target_tokens / seconds,
        "milliseconds a step": 1e3 * seconds / run.steps,
        **memory(),
        "graphs": run.graphs,
    }


def at_the_smallest(plan: Plan) -> Figures:
    """Compare graphs with calls and with plain PyTorch, at the size of batch that suits a CPU."""
    tokens, config = plan.tokens[0], network_of(plan.networks[0]["units"])
    rate = {
        name: run.target_tokens / run.seconds(WARM_UP, WINDOWS)
        for name, run in (
            ("plain PyTorch", measured(config, tokens, plan.pieces, plan.batches, plain_torch=True)),
            ("calls", measured(config, tokens, plan.pieces, plan.batches, graphs=False)),
            ("graphs", measured(config, tokens, plan.pieces, plan.batches)),
        )
    }
    return {
        **{f"{name}, target tokens/s": value for name, value in rate.items()},
        "graphs to calls": rate["graphs"] / rate["calls"],
        "graphs to plain PyTorch": rate["graphs"] / rate["plain PyTorch"],
    }


def where_time_goes(plan: Plan) -> Figures:
    """Return the kernels that take most of a step, by calls, which show each; and a step's launches."""
    sizes = plan.networks[0]
    return top_kernels(measured(network_of(sizes["units"]), plan.tokens[-1], sizes["pieces"], batches=2, graphs=False))


def measure(plan: Plan) -> Iterator[tuple[str, Figures]]:
    """Yield the parts of the table; a part that does not fit the memory says so, and the others follow."""
    parts: list[tuple[str, Callable[[], Figures]]] = [
        ("right", lambda: against_double(plan)),
        ("graphs", lambda: graphs_against_calls(plan)),
        (
            "processes",
            lambda: gpu_processes.measure(network_of(plan.networks[0]["units"]), plan.tokens[0], plan.pieces),
        ),
        (f"{plan.tokens[0]:,} tokens", lambda: at_the_smallest(plan)),
        *rates(plan),
        ("where the time goes", lambda: where_time_goes(plan)),
    ]
    for name, part in parts:
        try:
            yield name, part()
        except torch.OutOfMemoryError:
            yield name, {"does not fit": "out of memory"}
        if DEVICE.type == "cuda":
            torch.cuda.empty_cache()
    yield "yardstick", {"GNMT on one A100, source and target tokens/s": GNMT}


def machine() -> str:
    """Describe the device and torch."""
    if DEVICE.type != "cuda":
        return f"a CPU, torch {torch.__version__}: nothing of this is a GPU's speed"
    found = torch.cuda.get_device_properties(DEVICE)
    return (
        f"{found.name}, sm_{found.major}{found.minor}, {found.total_memory / 2**30:.0f} GiB, "
        f"{torch.cuda.device_count()} of them, CUDA {torch.version.cuda}, torch {torch.__version__}"
    )


def main() -> None:
    """Print what is found as it comes, then all of it as JSON."""
    parser = argparse.ArgumentParser(description="check and measure training on this machine's GPU")
    parser.add_argument("--tiny", action="store_true", help="run everything in seconds, on a CPU if there is no GPU")
    plan = TINY if parser.parse_args().tiny else FULL
    if DEVICE.type != "cuda" and plan is FULL:
        sys.stderr.write("make bench-gpu: torch finds no GPU on this machine; `make bench` measures its CPU\n")
        sys.exit(2)
    use_threads(1)
    console, figures = Console(), {}
    for part, found in measure(plan):
        figures[part] = found
        table = Table(part, "", min_width=100)
        for name, value in found.items():
            whole = name.endswith(("/s", "MiB"))
            table.add_row(name, value if isinstance(value, str) else f"{value:,.0f}" if whole else f"{value:.3g}")
        console.print(table)
    sys.stdout.write(json.dumps({"machine": machine()} | figures) + "\n")


if __name__ == "__main__":
    main()
