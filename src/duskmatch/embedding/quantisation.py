"""Graphs in int8, with ranges that nncf measures on real clips: only convolutions and what lies between them.

The recurrent part, the attention to parts and the scaling to length 1 stay in fp32: together they are a few per cent of
the operations, and with everything in int8 "unit" vectors were 1 to 4 % too long. The normalisation of pixels stays in
fp32 too: local contrast squares, subtracts and divides, for which eight bits are too few.

Weights use seven of the eight bits: a CPU without VNNI adds two products of bytes in 16 bits, which can overflow. An
export that was verified on another machine would then be silently wrong.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from duskmatch.embedding.engines import Frames, quiet_import
from duskmatch.embedding.graphs import INPUT
from duskmatch.embedding.signal_stack import kept_signal_stack

CONVOLUTIONS = ("Convolution", "GroupConvolution", "Conv")
Node = tuple[str, str, Sequence[str]]  # name, type, names of the nodes that read it


def quantise(graph: Any, clips: Sequence[Frames], nodes: Iterable[Node], *, fast_correction: bool = False) -> Any:
    """The graph in int8, its ranges measured on `clips`, each (1 t 3 h w); nncf's slow correction is more exact."""
    nncf = quiet_import("nncf")
    nncf.set_log_level(40)
    data = nncf.Dataset(list(clips), lambda clip: {INPUT: clip})
    kept = nncf.IgnoredScope(names=around_the_convolutions(nodes), validate=False)
    with redirect_stdout(io.StringIO()), kept_signal_stack():  # its progress bars would mix with results
        return nncf.quantize(
            graph,
            data,
            subset_size=len(clips),
            ignored_scope=kept,
            preset=nncf.QuantizationPreset.MIXED,  # the input of the first convolution has both signs
            fast_bias_correction=fast_correction,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=quiet_import("nncf.quantization.advanced_parameters").OverflowFix.ENABLE
            ),
        )


def around_the_convolutions(nodes: Iterable[Node]) -> list[str]:
    """The names of all nodes before the first convolutions or after the last ones."""
    known = list(nodes)
    backwards: dict[str, list[str]] = {name: [] for name, _, _ in known}
    for name, _, after in known:
        for reader in after:
            if reader in backwards:
                backwards[reader].append(name)
    behind = without_convolution_after(known)
    before = without_convolution_after([(name, kind, backwards[name]) for name, kind, _ in known])
    return list(dict.fromkeys([*behind, *before]))


def without_convolution_after(nodes: Iterable[Node]) -> list[str]:
    """The names of all nodes after which no convolution follows."""
    readers = {name: (kind, after) for name, kind, after in nodes}
    leads: dict[str, bool] = {}
    for start in readers:
        stack = [start]
        while stack:
            name = stack[-1]
            waiting = [a for a in readers[name][1] if a in readers and a not in leads]
            if waiting:
                stack += waiting
                continue
            stack.pop()
            leads[name] = any(readers[a][0] in CONVOLUTIONS or leads[a] for a in readers[name][1] if a in readers)
    return [
        n for n, leading in leads.items() if not leading and readers[n][0] not in (*CONVOLUTIONS, "Result", "Parameter")
    ]


def openvino_nodes(graph: Any) -> list[Node]:
    return [
        (
            node.get_friendly_name(),
            node.get_type_name(),
            [i.get_node().get_friendly_name() for out in node.outputs() for i in out.get_target_inputs()],
        )
        for node in graph.get_ops()
        if node.get_type_name() != "Constant"
    ]


def onnx_nodes(graph: Any) -> list[Node]:
    nodes = graph.graph.node
    return [(n.name, n.op_type, [m.name for m in nodes if set(m.input) & set(n.output)]) for n in nodes]


def quantise_onnx(file: Path, clips: Sequence[Frames]) -> None:
    """Replaces the .onnx file by one in int8."""
    onnx = quiet_import("onnx")
    graph = onnx.load(str(file))
    onnx.save(
        quantise(graph, clips, onnx_nodes(graph), fast_correction=True), str(file)
    )  # the slow one breaks ONNX graphs
