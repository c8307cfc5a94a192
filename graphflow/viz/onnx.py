"""ONNX, to look at in Netron: ops that mean the same there under ONNX's names, the others under a domain of our own.

What is written is a picture in ONNX's format, not a model to run elsewhere: `FORMS` says which ops have a form so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from graphflow.errors import OptionError
from graphflow.ir.program import Program, attribute_text
from graphflow.ir.tensor import Node, Tensor
from graphflow.types import AnySize, TensorType
from graphflow.viz.nodes import bytes_of
from graphflow.viz.picture import unique_keys

DOMAIN = "graphflow"  # of ops that ONNX does not have, or has with another meaning
OPSET = 21
INLINE_BYTES = 1 << 16  # constants up to this size are written with their values, larger ones as inputs

# Our op -> ONNX's op of the same meaning on the same operands, for every dtype that both have.
FORMS: Mapping[str, str] = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "power": "Pow", "negative": "Neg", "absolute": "Abs",
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "tanh": "Tanh", "sigmoid": "Sigmoid", "erf": "Erf", "sin": "Sin", "cos": "Cos",
    "tan": "Tan", "floor": "Floor", "ceil": "Ceil", "sign": "Sign", "relu": "Relu", "reciprocal": "Reciprocal",
    "maximum": "Max", "minimum": "Min", "where": "Where", "identity": "Identity",
    "equal": "Equal", "less": "Less", "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual",
    "logical_and": "And", "logical_or": "Or", "logical_not": "Not", "logical_xor": "Xor",
}  # fmt: skip


def onnx_bytes(program: Program) -> bytes:
    """A captured or optimised program as an ONNX file; variables are inputs, their next values outputs."""
    try:
        onnx = import_module("onnx")
    except ImportError:
        raise OptionError(
            "ONNX files need the package onnx", rule="pip install onnx, or save as .html, which needs nothing."
        ) from None
    return _Writer(program, onnx).model().SerializeToString()


class _Writer:
    """One program on its way to ONNX."""

    def __init__(self, program: Program, onnx: Any) -> None:
        self.program, self.onnx, self.helper = program, onnx, onnx.helper
        tensors = [t for node in program.nodes for t in node.outputs]
        self.sources = dict.fromkeys((*program.inputs, *(variable for variable, _ in program.updates)))
        tensors = list(dict.fromkeys((*self.sources, *tensors)))
        self.names = dict(zip(tensors, unique_keys([t.name for t in tensors], {}), strict=True))

    def model(self) -> Any:
        nodes, initializers = [], []
        inputs = [self.value(t) for t in self.sources]
        for node in self.program.nodes:
            if node.output in self.sources:
                continue
            if node.op.name == "constant":
                literal = node.attrs["value"].array
                if (bytes_of(node, {}) or 0) <= INLINE_BYTES:
                    initializers.append(self.onnx.numpy_helper.from_array(literal, self.names[node.output]))
                else:
                    inputs.append(self.value(node.output))
                continue
            nodes.append(self.node(node))
        outputs = [self.value(t) for t in dict.fromkeys(self.program.results)]
        graph = self.helper.make_graph(nodes, self.program.name, inputs, outputs, initializers)
        opsets = [self.helper.make_opsetid("", OPSET), self.helper.make_opsetid(DOMAIN, 1)]
        return self.helper.make_model(graph, producer_name="graphflow", opset_imports=opsets)

    def node(self, node: Node) -> Any:
        """A node under its ONNX name where it has one; else with its attributes as texts."""
        form, domain = FORMS.get(node.op.name, ""), ""
        attributes: dict[str, Any] = {}
        if node.op.name == "matmul" and not (node.attrs["transpose_a"] or node.attrs["transpose_b"]):
            form = "MatMul"
        elif node.op.name == "transpose":
            form, attributes = "Transpose", {"perm": list(node.attrs["perm"])}
        if not form:
            form, domain = node.op.name, DOMAIN
            attributes = {name: attribute_text(value) for name, value in node.attributes if value is not None}
        made = self.helper.make_node(
            form, [self.names[t] for t in node.inputs], [self.names[t] for t in node.outputs], name=node.name, domain=domain,
            doc_string=str(node.location), **attributes,
        )  # fmt: skip
        return made

    def value(self, tensor: Tensor) -> Any:
        """A tensor's name with its type; symbols by their names."""
        return self.helper.make_tensor_value_info(self.names[tensor], self.dtype(tensor.type), list(map(size, tensor.shape)))

    def dtype(self, type_: TensorType) -> int:
        if type_.dtype.name == "bfloat16":
            return self.onnx.TensorProto.BFLOAT16
        return self.helper.np_dtype_to_tensor_dtype(type_.dtype.numpy)


def size(of: AnySize) -> int | str:
    """A size as ONNX has it: a number, or a name."""
    return of if isinstance(of, int) else str(of)
