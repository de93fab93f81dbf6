"""Models in FP16: what stays in float32, that the answers are those of the model given, and that TensorRT builds it."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper, parser

from helpers.builder import build_plan
from helpers.fp16 import STAY
from helpers.model_files import NotAModel
from helpers.onnx_parser import parse_onnx
from helpers.precision import relative_error, to_fp16
from helpers.trt import has
from helpers.workbook.recordings import ROOT
from helpers.workbook.tables import read_layers

LENET = ROOT / "data" / "lenet.onnx"
PROFILE = {"image": ((1, 1, 28, 28), (8, 1, 28, 28), (8, 1, 28, 28))}
needs_build = pytest.mark.skipif(not has("ahead_of_time"), reason="needs a TensorRT that builds without a GPU")


@pytest.fixture(scope="module")
def images():
    with np.load(ROOT / "data" / "mnist.npz") as mnist:
        return np.ascontiguousarray(mnist["train_images"][:64, None].astype(np.float32) / 255)


def run(model, images):
    return answers(model if isinstance(model, onnx.ModelProto) else onnx.load(model), image=images)[0]


def answers(model, **inputs):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it cannot fold constants in FP16, and says so
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def read(text, opset=17, **weights):
    """The model of a text in ONNX's own language, with weights as float32 arrays."""
    model = parser.parse_model(f'<ir_version: 9, opset_import: ["": {opset}, "mine": 1]> {text}')
    model.graph.initializer.extend(numpy_helper.from_array(np.float32(array), name) for name, array in weights.items())
    return model


def types_of(model):
    """The types of the weights by name, and of what the nodes give: those that onnx can infer."""
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    values = (*model.graph.value_info, *model.graph.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    found.update({tensor.name: tensor.data_type for tensor in model.graph.initializer})
    return {name: TensorProto.DataType.Name(kind) for name, kind in found.items()}


def check(model, **inputs):
    """Converts a model; its answers must be those of the model given. Returns the result."""
    half = to_fp16(model)
    onnx.checker.check_model(half, full_check=True)
    for expected, got in zip(answers(model, **inputs), answers(half, **inputs), strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=5e-3, atol=1e-3)
    return half


class TestToFp16:
    def test_half_inside_and_float_outside(self, images):
        half = to_fp16(LENET)
        weights = {t.data_type for t in half.graph.initializer if t.data_type != TensorProto.INT64}
        assert weights == {TensorProto.FLOAT16}
        ends = [*half.graph.input, *half.graph.output]
        assert {value.type.tensor_type.elem_type for value in ends} == {TensorProto.FLOAT}
        assert 1e-6 < relative_error(run(half, images), run(LENET, images)) < 5e-3

    def test_the_model_given_stays_as_it_is(self):
        model = onnx.load(LENET)
        before = model.SerializeToString(deterministic=True)
        to_fp16(model)
        assert model.SerializeToString(deterministic=True) == before

    def test_named_nodes_stay_in_float32(self, images):
        half = to_fp16(LENET, keep=["node_linear"])
        types = {t.name: t.data_type for t in half.graph.initializer}
        assert types["fc1.weight"] == TensorProto.FLOAT
        assert types["fc2.weight"] == TensorProto.FLOAT16
        assert relative_error(run(half, images), run(LENET, images)) < 5e-3

    def test_a_node_that_is_not_there(self):
        with pytest.raises(ValueError, match="no node 'fc9'"):
            to_fp16(LENET, keep=["fc9"])

    @pytest.mark.parametrize("value", [70000.0, -3e38])
    def test_weights_that_fp16_cannot_hold(self, value):
        model = onnx.load(LENET)
        (bias,) = (t for t in model.graph.initializer if t.name == "fc3.bias")
        bias.CopyFrom(numpy_helper.from_array(np.full(10, value, np.float32), "fc3.bias"))
        with pytest.raises(ValueError, match=r"fc3\.bias.*keep=\['node_linear_2'\]"):
            to_fp16(model)
        (node,) = (n.name for n in model.graph.node if "fc3.bias" in n.input)
        half = to_fp16(model, keep=[node])
        picture = np.zeros((1, 1, 28, 28), np.float32)
        np.testing.assert_allclose(run(half, picture), run(model, picture), rtol=5e-3)

    def test_what_overflows_in_fp16_passes_between_kept_nodes(self):
        """x / sqrt(mean(x²)), whose squares of 300 are beyond FP16."""
        make = onnx.helper.make_node
        nodes = [
            make("Mul", ["x", "x"], ["xx"], "square"),
            make("ReduceMean", ["xx"], ["m"], "mean"),
            make("Sqrt", ["m"], ["r"], "root"),
            make("Div", ["x", "r"], ["y"], "quotient"),
        ]
        ends = [onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
        graph = onnx.helper.make_graph(nodes, "norm", ends[:1], ends[1:])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        half = to_fp16(model, keep=["square", "mean", "root"])
        session = onnxruntime.InferenceSession(half.SerializeToString(), providers=["CPUExecutionProvider"])
        (quotient,) = session.run(["y"], {"x": np.full((1, 4), 300, np.float32)})
        assert quotient == pytest.approx(np.ones((1, 4)), rel=1e-3)

    @needs_build
    def test_builds_as_half_without_any_flag(self):
        network = parse_onnx(to_fp16(LENET).SerializeToString())
        types = [layer.outputs[0].dtype for layer in read_layers(network)]
        assert types.count("FLOAT") == 1, "only the cast before the output"
        single = build_plan(parse_onnx(LENET), profiles=[PROFILE], targets=["SM86"])
        assert len(build_plan(network, profiles=[PROFILE], targets=["SM86"])) < len(single)


X = np.linspace(-2, 2, 32, dtype=np.float32).reshape(4, 8)


class TestShapes:
    """Arithmetic with shapes stays in float32 up to where it meets the data."""

    ANCHORS = """g (float[n,3,h,w] x) => (float[n,2,h,w] y)
        <int64 i2 = {2}, int64 i3 = {3}, int64[1] a0 = {0}, int64[2] m11 = {-1,1}, int64[1] m1 = {-1},
         float z = {0}, float o = {1}, float half = {0.5}> {
            s = Shape (x)
            h = Gather <axis = 0> (s, i2)
            v = Gather <axis = 0> (s, i3)
            hf = Cast <to = 1> (h)
            vf = Cast <to = 1> (v)
            r = Range (z, hf, o)
            ra = Add (r, half)
            c = Range (z, vf, o)
            ca = Add (c, half)
            h1 = Unsqueeze (h, a0)
            v1 = Unsqueeze (v, a0)
            hw = Concat <axis = 0> (h1, v1)
            rr = Reshape (ra, m11)
            ry = Expand (rr, hw)
            cr = Reshape (ca, m1)
            cx = Expand (cr, hw)
            ry1 = Unsqueeze (ry, a0)
            cx1 = Unsqueeze (cx, a0)
            grid = Concat <axis = 0> (ry1, cx1)
            xm = ReduceMean <axes = [1], keepdims = 1> (x)
            y = Mul (xm, grid)
        }"""

    def test_dynamic_anchors(self):
        x = np.random.default_rng(0).random((2, 3, 5, 6), np.float32)
        types = types_of(check(read(self.ANCHORS), x=x))
        assert (types["grid"], types["xm"]) == ("FLOAT", "FLOAT16")

    @needs_build
    def test_dynamic_anchors_build(self):
        network = parse_onnx(to_fp16(read(self.ANCHORS)).SerializeToString())
        profile = {"x": ((1, 3, 8, 8), (2, 3, 32, 48), (4, 3, 64, 64))}
        assert build_plan(network, profiles=[profile], targets=["SM86"])

    def test_a_size_that_fp16_cannot_count(self):
        """4097 times 0.5 is 2048.5; FP16 has 2048 and 2050."""
        text = """g (float[1,1,1,w] x) => (float[1,1,1,v] y)
            <int64[1] first = {0}, int64[1] three = {3}, int64[1] four = {4}, float[1] k = {0.5}> {
                s = Shape (x)
                w1 = Slice (s, three, four)
                f = Cast <to = 1> (w1)
                g = Mul (f, k)
                h = Add (g, k)
                i = Cast <to = 7> (h)
                rest = Slice (s, first, three)
                sizes = Concat <axis = 0> (rest, i)
                y = Resize <mode = "nearest"> (x, , , sizes)
            }"""
        x = np.ones((1, 1, 1, 4097), np.float32)
        assert answers(check(read(text), x=x), x=x)[0].shape == (1, 1, 1, 2049)

    def test_scales_of_a_resize(self):
        text = """g (float[1,1,2,2] x) => (float[1,1,6,6] y) <float[2] ones = {1,1}, float[2] three = {3,3}> {
            scales = Concat <axis = 0> (ones, three)
            r = Relu (x)
            y = Resize <mode = "nearest"> (r, , scales)
        }"""
        types = types_of(check(read(text), x=np.ones((1, 1, 2, 2), np.float32)))
        assert (types["scales"], types["ones"], types["r"]) == ("FLOAT", "FLOAT", "FLOAT16")

    def test_positions_from_a_table_of_weights_are_fp16(self):
        text = """g (float[n,8] x) => (float[n,8] y) <int64 z = {0}, int64 o = {1}> {
            s = Shape (x)
            n = Gather (s, z)
            p = Range (z, n, o)
            e = Gather (table, p)
            y = Add (x, e)
        }"""
        types = types_of(check(read(text, table=np.ones((9, 8))), x=X))
        assert types["table"] == "FLOAT16"


class TestSubgraphs:
    IF = """g (float[1,8] x, bool flag) => (float[1,4] y) {
        a = Relu (x)
        o = If (flag) <
            then_branch = then () => (float[1,8] t) { one = Constant <value = float {1}> () t = Add (a, one) },
            else_branch = else () => (float[1,8] e) { n = Neg (x) e = Mul (n, k) }>
        y = MatMul (o, w)
    }"""

    @pytest.fixture
    def model(self):
        return read(self.IF, w=np.ones((8, 4)), k=[0.25])

    @pytest.mark.parametrize("flag", [True, False])
    def test_branches_that_read_tensors_from_outside(self, model, flag):
        half = check(model, x=X[:1], flag=np.array(flag))
        assert types_of(half)["o"] == "FLOAT16"
        assert types_of(half)["k"] == "FLOAT16"

    @needs_build
    def test_they_build(self, model):
        assert build_plan(parse_onnx(to_fp16(model).SerializeToString()), targets=["SM86"])

    def test_an_if_that_is_kept_keeps_its_branches(self, model):
        (node,) = (node for node in model.graph.node if node.op_type == "If")
        for kept in ("", "mode"):
            node.name = kept
            half = to_fp16(model, keep=[kept or "o"])
            assert types_of(half)["o"] == types_of(half)["k"] == "FLOAT"
            np.testing.assert_allclose(
                answers(half, x=X[:1], flag=np.array(True)), answers(model, x=X[:1], flag=np.array(True)), rtol=5e-3
            )

    def test_one_node_in_a_branch_is_kept(self, model):
        half = to_fp16(model, keep=["e"])  # it has no name, and goes by what it gives
        assert types_of(half)["k"] == "FLOAT"
        for flag in (True, False):
            np.testing.assert_allclose(
                answers(half, x=X[:1], flag=np.array(flag)), answers(model, x=X[:1], flag=np.array(flag)), rtol=5e-3
            )

    def test_branches_inside_branches_with_weights_of_their_own(self):
        text = """g (float[1,8] x, bool flag, bool other) => (float[1,8] y) {
            y = If (flag) <
                then_branch = then () => (float[1,8] t) <float[1] k = {2}> {
                    m = Mul (x, k)
                    t = If (other) <
                        then_branch = inner () => (float[1,8] a) { a = Mul (m, k) },
                        else_branch = second () => (float[1,8] b) { b = Identity (x) }>
                },
                else_branch = else () => (float[1,8] e) <float[1] k2 = {3}> { e = Mul (x, k2) }>
        }"""
        model = read(text)
        for flag in (True, False):
            for other in (True, False):
                check(model, x=X[:1], flag=np.array(flag), other=np.array(other))

    def test_a_loop_carries_fp16(self):
        text = """g (float[1,8] x, int64 n) => (float[1,8] y, float[s,1,8] all) <bool yes = {1}> {
            y, all = Loop (n, yes, x) <body = body (int64 i, bool go, float[1,8] state) =>
                (bool on, float[1,8] next, float[1,8] seen) {
                    on = Identity (go)
                    f = Cast <to = 1> (i)
                    next = Add (state, f)
                    seen = Mul (next, k)
                }>
        }"""
        half = check(read(text, k=[0.5]), x=X[:1], n=np.array(3))
        assert types_of(half)["k"] == "FLOAT16"


class TestWeights:
    MASK = """g (float[4,8] x) => (float[4,8] y) { z = Constant <value = float {0}> () c = Greater (x, z)
              m = Where (c, x, low) y = Softmax (m) }"""

    def test_infinite_ones_stay_infinite(self):
        half = check(read(self.MASK, low=-np.inf), x=X + 2.1)
        (low,) = (numpy_helper.to_array(tensor) for tensor in half.graph.initializer if tensor.name == "low")
        assert low == -np.inf
        assert low.dtype == np.float16

    def test_all_large_ones_are_named_with_the_nodes_to_keep(self):
        model = read(self.MASK.replace("y = Softmax (m)", "n = Add (m, large) y = Softmax (n)"), low=-1e9, large=[1e6])
        with pytest.raises(ValueError, match=r"'low' goes up to 1e\+09.*1 more such.*keep=\['m', 'n'\]"):
            to_fp16(model)
        assert to_fp16(model, keep=["m", "n"])

    def test_a_large_constant_node(self):
        model = read(
            "g (float[4,8] x) => (float[4,8] y) { [large] c = Constant <value = float {1e6}> () y = Add (x, c) }"
        )
        with pytest.raises(ValueError, match=r"'c' goes up to 1e\+06.*keep=\['y'\]"):
            to_fp16(model)
        check_kept = to_fp16(model, keep=["y"])
        np.testing.assert_allclose(answers(check_kept, x=X), answers(model, x=X))

    @pytest.mark.parametrize("constant", ["<value_float = 0.5>", "<value_floats = [0.5]>", "<value = float {0.5}>"])
    def test_constants(self, constant):
        half = check(read(f"g (float[4,8] x) => (float[4,8] y) {{ c = Constant {constant} () y = Mul (x, c) }}"), x=X)
        assert types_of(half)["c"] == "FLOAT16"

    def test_a_large_fill(self):
        model = read(
            "g (int64[2] s, float[1] x) => (float[a,b] y) "
            "{ f = ConstantOfShape <value = float[1] {1e9}> (s) y = Add (f, x) }"
        )
        with pytest.raises(ValueError, match=r"1e\+09.*keep=\['f'\]"):
            to_fp16(model)

    def test_an_epsilon_does_not_become_0(self):
        text = "g (float[4,8] x) => (float[4,8] y) { z = Sub (x, x) d = Add (z, e) n = Mul (z, d) y = Div (n, d) }"
        assert np.isfinite(answers(to_fp16(read(text, e=[1e-12])), x=X)[0]).all()

    def test_a_weight_that_is_read_in_both_types(self):
        text = "g (float[4,8] x) => (float[4,8] y) { [one] a = Mul (x, w) [two] y = Add (a, w) }"
        model = read(text, w=[0.1])
        half = to_fp16(model, keep=["two"])
        assert {tensor.data_type for tensor in half.graph.initializer} == {TensorProto.FLOAT, TensorProto.FLOAT16}
        np.testing.assert_allclose(answers(half, x=X), answers(model, x=X), atol=1e-3)

    def test_a_weight_that_is_an_input_too(self):
        """As it was before IR version 4."""
        model = read("g (float[4,8] x, float[1] w) => (float[4,8] y) { y = Mul (x, w) }", w=[0.5])
        model.ir_version = 3
        assert types_of(check(model, x=X))["w"] == "FLOAT16"

    def test_a_weight_that_is_an_output_too(self):
        check(read("g (float[4,8] x) => (float[4,8] y, float[1] w) { y = Mul (x, w) }", w=[0.5]), x=X)


class TestNodes:
    def test_what_onnx_has_in_float32_alone(self):
        text = """g (float[1,6,4] boxes, float[1,1,6] scores) => (int64[n,3] y) {
            b = Abs (boxes)
            y = NonMaxSuppression (b, scores, m, m2, m2)
        }"""
        boxes = np.random.default_rng(0).random((1, 6, 4), np.float32)
        model = read(text, m2=[0.5])
        model.graph.initializer.append(numpy_helper.from_array(np.array([3]), "m"))
        types = types_of(check(model, boxes=boxes, scores=np.linspace(0, 1, 6, dtype=np.float32).reshape(1, 1, 6)))
        assert (types["b"], types["m2"]) == ("FLOAT16", "FLOAT")

    def test_a_plugin_stays_and_what_follows_is_converted(self):
        text = "g (float[4,8] x) => (float[4,8] y) { a = Relu (x) p = mine.Plugin (a, w) r = Abs (p) y = Mul (r, k) }"
        half = to_fp16(read(text, w=[1.0], k=[2.0]))
        assert [node.op_type for node in half.graph.node] == [
            "Cast",
            "Relu",
            "Cast",
            "Plugin",
            "Cast",
            "Abs",
            "Mul",
            "Cast",
        ]
        types = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
        assert types == {"w": TensorProto.FLOAT, "k": TensorProto.FLOAT16}

    def test_random_numbers_stay_and_are_cast(self):
        text = """g (float[4,8] x) => (float[4,8] y)
            { a = Relu (x) r = RandomUniformLike (a) s = Mul (r, zero) y = Add (a, s) }"""
        check(read(text, zero=[0.0]), x=X)

    @pytest.mark.parametrize("operator", ["GRU", "LSTM", "RNN"])
    def test_recurrent_ones_with_lengths_stay(self, operator):
        gates = {"GRU": 3, "LSTM": 4, "RNN": 1}[operator]
        random = np.random.default_rng(0)
        text = f"""g (float[5,1,2] x, int32[1] n) => (float[5,1,1,4] y) {{
            y = {operator} <hidden_size = 4> (x, w, r, , n)
        }}"""
        model = read(text, w=random.random((1, gates * 4, 2)), r=random.random((1, gates * 4, 4)))
        half = check(model, x=random.random((5, 1, 2), np.float32), n=np.int32([3]))
        assert "FLOAT16" not in types_of(half).values()
        del model.graph.node[0].input[4]
        assert "FLOAT16" in types_of(to_fp16(model)).values()

    def test_nodes_that_are_not_sorted(self):
        model = read("g (float[4,8] x) => (float[4,8] y) { a = Relu (x) b = Mul (a, k) y = Neg (b) }", k=[2.0])
        expected = answers(model, x=X)
        nodes = list(model.graph.node)
        del model.graph.node[:]
        model.graph.node.extend(reversed(nodes))
        half = to_fp16(model)
        onnx.checker.check_model(half)
        np.testing.assert_allclose(answers(half, x=X), expected, rtol=5e-3)

    def test_nodes_in_a_circle(self):
        model = read("g (float[4,8] x) => (float[4,8] y) { a = Add (x, b) b = Relu (a) y = Neg (b) }")
        with pytest.raises(ValueError, match="reads what is computed from it"):
            to_fp16(model)

    def test_functions_are_inlined(self):
        model = parser.parse_model("""<ir_version: 9, opset_import: ["": 17, "mine": 1]>
            g (float[4,8] x) => (float[4,8] y) { y = mine.twice (x) }
            <domain: "mine", opset_import: ["": 17]> twice (x) => (y) { a = Add (x, x) y = Neg (a) }""")
        half = check(model, x=X)
        assert [node.op_type for node in half.graph.node] == ["Cast", "Add", "Neg", "Cast"]

    @pytest.mark.parametrize("window", ["HannWindow", "HammingWindow <output_datatype = 1>", "BlackmanWindow"])
    def test_an_attribute_says_which_type_comes_out(self, window):
        text = f"g (float[4,8] x, int64 n) => (float[4,8] y) {{ w = {window} (n) y = Mul (x, w) }}"
        types = types_of(check(read(text), x=X, n=np.array(8)))
        assert types["w"] == "FLOAT"

    def test_every_operator_whose_attribute_says_the_type_is_known(self):
        """Those whose output is of a type that no input has: fp16 changes their attribute, or they stay in float32."""
        free = set()
        for schema in onnx.defs.get_all_schemas_with_history():
            halves = {c.type_param_str for c in schema.type_constraints if "tensor(float16)" in c.allowed_type_strs}
            given = {each.type_str for each in schema.inputs}
            if not schema.domain and any(each.type_str in halves - given for each in schema.outputs):
                free.add(schema.name)
        changed = {"Cast", "ConstantOfShape", "DequantizeLinear", "If"}
        of_lists = {"SequenceAt", "ConcatFromSequence", "OptionalGetElement"}  # stay by their names
        assert free - changed - of_lists <= STAY

    def test_weights_that_are_inputs_too(self):
        """The inputs of what comes out are those of TensorRT, and all float32."""
        model = read("g (float[4,8] x, float[8] w) => (float[4,8] y) { y = Mul (x, w) }", w=np.full(8, 2))
        for version in (3, 9):
            model.ir_version = version
            half = to_fp16(model)
            assert [value.name for value in half.graph.input] == ["x"]
            np.testing.assert_allclose(answers(half, x=X)[0], 2 * X, rtol=5e-3)

    def test_a_constant_without_an_output(self):
        model = read("g (float[4,8] x) => (float[4,8] y) { y = Relu (x) }")
        model.graph.node.add(op_type="Constant")
        assert to_fp16(model)

    def test_names_that_the_casts_would_take(self):
        text = "g (float[4,8] x) => (float[4,8] y) { [y_cast] x_fp16 = Relu (x) [y] y = Add (x, x_fp16) }"
        check(read(text), x=X)

    def test_a_dequantized_weight(self):
        text = """g (float[4,8] x) => (float[4,4] y) <int8[8,4] q = {%s}, float s = {0.25}, int8 z = {0}> {
            w = DequantizeLinear %s (q, s, z)
            y = MatMul (x, w)
        }"""
        numbers = ",".join(str(i) for i in range(-16, 16))
        for opset, attribute in ((17, ""), (21, ""), (23, "<output_dtype = 1>")):
            model = read(text % (numbers, attribute), opset)
            half = to_fp16(model)
            onnx.checker.check_model(half, full_check=True)
            if opset < 23:  # the newest that ONNX Runtime knows is behind ONNX's
                np.testing.assert_allclose(answers(half, x=X)[0], X @ (np.arange(-16, 16).reshape(8, 4) / 4), atol=0.05)

    def test_a_tensor_that_nobody_makes(self):
        """No runtime takes it; here it must not be a riddle."""
        model = read("g (float[4,8] x) => (float[4,8] y) { y = Add (x, lost) }")
        model.graph.value_info.append(onnx.helper.make_tensor_value_info("lost", TensorProto.FLOAT, [4, 8]))
        assert to_fp16(model)

    def test_an_output_that_is_read_inside(self):
        check(read("g (float[4,8] x) => (float[4,8] a, float[4,8] y) { a = Relu (x) y = Neg (a) }"), x=X)

    def test_an_input_that_is_an_output(self):
        check(read("g (float[4,8] x) => (float[4,8] x, float[4,8] y) { y = Neg (x) }"), x=X)


class TestWrongArguments:
    def test_a_name_that_no_node_has(self):
        with pytest.raises(ValueError, match="no node 'node_liner'; it has 'node_linear'"):
            to_fp16(LENET, keep=["node_liner"])

    @pytest.mark.parametrize("keep", ["node_linear", b"node", [1], [None], None, 3])
    def test_keep_is_a_list_of_names(self, keep):
        with pytest.raises(TypeError, match="give a list of names"):
            to_fp16(LENET, keep=keep)

    def test_no_model(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"there is no model .*lost\.onnx"):
            to_fp16(tmp_path / "lost.onnx")
        (tmp_path / "page.onnx").write_text("<html>")
        with pytest.raises(NotAModel, match=r"page\.onnx is HTML"):
            to_fp16(str(tmp_path / "page.onnx"))
        (tmp_path / "bad.onnx").write_bytes(b"\x08\x99\xff\xff")
        with pytest.raises(NotAModel, match=r"bad\.onnx is not an ONNX model"):
            to_fp16(tmp_path / "bad.onnx")
        for wrong in (None, 3, {"model": 1}):
            with pytest.raises(TypeError, match="a model is a file, bytes, or an onnx.ModelProto"):
                to_fp16(wrong)

    def test_functions_that_onnx_cannot_inline(self):
        text = """<ir_version: 9, opset_import: ["": 17, "mine": 1]>
            g (float[4,8] x) => (float[4,8] y) { y = mine.f (%s) }
            <domain: "mine", opset_import: ["": 17, "mine": 1]> f (x) => (y) { y = %s (x) }"""
        for given, inside in (("x", "mine.f"), ("x, x", "Relu")):
            with pytest.raises(ValueError, match="onnx cannot inline the model's functions"):
                to_fp16(parser.parse_model(text % (given, inside)))

    def test_a_weight_that_is_shorter_than_it_says(self):
        model = read("g (float[4,8] x) => (float[4,8] y) { y = Mul (x, w) }", w=np.full(8, 2))
        for damage in ({"raw_data": b"abc"}, {"float_data": [1, 2]}):
            model.graph.initializer[0].CopyFrom(TensorProto(name="w", data_type=1, dims=[8], **damage))
            with pytest.raises(ValueError, match="weight 'w' is damaged"):
                to_fp16(model)

    @pytest.mark.parametrize("text", ["y = Mul (x, w)", "y = mine.f (x, w)"])
    def test_more_than_two_gigabytes(self, text, tmp_path):
        """Said before the weights are read, which takes as much memory again and again."""
        model = parser.parse_model(f"""<ir_version: 9, opset_import: ["": 17, "mine": 1]>
            g (float[1] x) => (float[n] y) {{ {text} }}
            <domain: "mine", opset_import: ["": 17]> f (x, w) => (y) {{ y = Mul (x, w) }}""")
        weight = model.graph.initializer.add(name="w", data_type=1, dims=[1 << 29], data_location=TensorProto.EXTERNAL)
        weight.external_data.add(key="location", value="w.bin")
        weight.external_data.add(key="length", value=str(1 << 31))
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        (tmp_path / "w.bin").write_bytes(b"")
        with pytest.raises(ValueError, match=r"m\.onnx is larger than 2 GB with its weights"):
            to_fp16(tmp_path / "m.onnx")

    def test_names_may_come_from_a_generator(self):
        half = to_fp16(LENET, keep=(name for name in ["node_linear"]))
        assert types_of(half)["fc1.weight"] == "FLOAT"

    def test_bytes_are_a_model(self, images):
        assert to_fp16(LENET.read_bytes()) == to_fp16(LENET)

    def test_weights_in_a_second_file(self, tmp_path, images):
        onnx.save(onnx.load(LENET), tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
        assert run(to_fp16(tmp_path / "m.onnx"), images) == pytest.approx(run(to_fp16(LENET), images))
        (tmp_path / "w.bin").unlink()
        with pytest.raises(FileNotFoundError, match=r"w\.bin.*copy that file"):
            to_fp16(tmp_path / "m.onnx")
